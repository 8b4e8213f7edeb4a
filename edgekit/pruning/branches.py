"""The two branches of an Add: what serves one addend alone, and what that reads."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """What serves one addend alone.

    Attributes:
        nodes: in graph order.
        entries: values that it reads of the rest of the graph and that depend on data.
    """

    nodes: tuple[ir.Node, ...]
    entries: tuple[ir.Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """What of a graph comes of what.

    Attributes:
        nodes: of the main graph, in its order.
        position: where each of them stands.
        varying: values that depend on the data, not only on the shapes, of an input.
    """

    nodes: tuple[ir.Node, ...]
    position: Mapping[ir.Node, int]
    varying: frozenset[ir.Value]

    @classmethod
    def of(cls, graph: ir.Graph) -> Ancestry:
        """Return the ancestry of all values of a graph."""
        nodes = tuple(graph)
        position = {node: index for index, node in enumerate(nodes)}
        varying = {value for value in graph.inputs if not value.is_initializer()}
        for node in nodes:
            depends = any(value in varying for value in node.inputs) or has_graph(node)
            if depends and node.op_type not in {"Shape", "Size"}:
                varying.update(node.outputs)
        return cls(nodes=nodes, position=position, varying=frozenset(varying))

    def branch(self, addend: ir.Value, add: ir.Node, skip: ir.Value) -> Branch:
        """Return what ends in `add` by `addend` and nowhere else, as far back as `skip`."""
        since = self._made_at(skip)
        inside = {add}
        read = {addend: None}
        ahead = [-self._made_at(addend)]
        while ahead and -ahead[0] > since:
            node = self.nodes[-heapq.heappop(ahead)]
            if node in inside or has_graph(node) or _read_elsewhere(node, inside):
                continue
            inside.add(node)
            inputs = [value for value in node.inputs if value is not None]
            read |= dict.fromkeys(inputs)
            for value in inputs:
                heapq.heappush(ahead, -self._made_at(value))
        return Branch(
            nodes=tuple(sorted(inside - {add}, key=self.position.__getitem__)),
            entries=tuple(
                value for value in read if value in self.varying and value.producer() not in inside
            ),
        )

    def depends(self, value: ir.Value, source: ir.Value) -> bool:
        """Say whether `value` is computed from `source`, which it is not itself."""
        since = self._made_at(source)
        ahead = [] if value is source else [value]
        seen: set[ir.Node] = set()
        while ahead:
            node = ahead.pop().producer()
            if node is None or node in seen or self.position[node] <= since:
                continue
            seen.add(node)
            if source in node.inputs or has_graph(node):
                return True
            ahead.extend(value for value in node.inputs if value in self.varying)
        return False

    def _made_at(self, value: ir.Value) -> int:
        node = value.producer()
        return -1 if node is None else self.position[node]


def has_graph(node: ir.Node) -> bool:
    """Say whether a node, such as If or Loop, holds a graph of its own."""
    return any(
        attribute.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
        for attribute in node.attributes.values()
    )


def _read_elsewhere(node: ir.Node, inside: set[ir.Node]) -> bool:
    return any(
        value.is_graph_output() or any(user not in inside for user in value.consumers())
        for value in node.outputs
    )
