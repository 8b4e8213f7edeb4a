"""Joins what a runtime runs to the layers of the model as its user knows them.

A runtime fuses, renames and inserts. What it kept is a tensor or a name: each of its nodes is tied
to the tensor of the model that it makes, and holds every node of the model that lies between that
tensor and those that other nodes make.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.graph import Model, Wire
from edgekit.graph.surgery import constant_of, read_by

_OWN = frozenset(("ReorderInput", "ReorderOutput", "MemcpyFromHost", "MemcpyToHost"))
_SUFFIX = re.compile(r"(_token_\d+|_nchwc|_nhwc)+$")
_WORD = re.compile(r"[^\s,+()\[\]{}]+")
_REFORMATTING = "Reformatting"
_SUM_INPUT = 3
_WITHIN_INTEGERS = frozenset(("Relu", "Clip"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One layer: what the runtime runs for it, and what of the model it holds.

    Attributes:
        name: of the model's node whose result it makes; the runtime's own name without one.
        runs: names of the runtime's nodes.
        nodes: of the model, in graph order; empty for what is the runtime's own.
    """

    name: str
    runs: tuple[str, ...]
    nodes: tuple[ir.Node, ...]


def join(model: Model, wires: Sequence[Wire]) -> tuple[Joined, ...]:
    """Return the layers in the order in which the runtime runs them.

    Every node of the model that is not a constant and leads to what the runtime runs is in just
    one layer.
    """
    index = _Index(model.ir.graph)
    runs: dict[ir.Node | str, list[str]] = {}
    for wire in wires:
        runs.setdefault(index.made_by(wire) or wire.name, []).append(wire.name)
    held = index.held([key for key in runs if isinstance(key, ir.Node)])
    return tuple(
        Joined(
            name=key if isinstance(key, str) else key.name or "",
            runs=tuple(names),
            nodes=() if isinstance(key, str) else held[key],
        )
        for key, names in runs.items()
    )


def join_by_names(model: Model, names: Sequence[str]) -> tuple[Joined, ...]:
    """Return the layers of a runtime that names them after the nodes that it fused.

    TensorRT does: `conv1 + relu1`, `PWN(sigmoid, mul)`, and `{ForeignNode[first...last]}` for all
    from the first to the last; a change of layout is its own and only says before which node it
    stands. Every node is in one layer at most.
    """
    nodes = {node.name: node for node in model.ir.graph if node.name}
    places = {name: at for at, name in enumerate(nodes)}
    found = []
    for layer in names:
        held = set()
        for word in () if layer.startswith(_REFORMATTING) else _WORD.findall(layer):
            first, _, last = word.partition("...")
            if first in places and (last or first) in places:
                held |= set(range(places[first], places[last or first] + 1))
        inside = [name for name, at in places.items() if at in held and name in nodes]
        found.append(
            Joined(name=layer, runs=(layer,), nodes=tuple(nodes.pop(name) for name in inside))
        )
    return tuple(found)


class _Index:
    """The model's tensors and nodes by name."""

    def __init__(self, graph: ir.Graph) -> None:
        self._nodes = {node.name: node for node in graph}
        self._order = {node: at for at, node in enumerate(graph)}
        self._makers = {value.name: node for node in graph for value in node.outputs}

    def made_by(self, wire: Wire) -> ir.Node | None:
        """Return the node whose result a node of the runtime makes; None for the runtime's own."""
        if wire.op_type in _OWN:
            return None
        kept = next((self._makers[name] for name in wire.outputs if name in self._makers), None)
        if kept is not None:
            return kept
        for name in (wire.name, _SUFFIX.sub("", wire.name)):
            node = self._makers.get(name) or self._nodes.get(name)
            if node is not None:
                return _last_within(node, wire)
        return None

    def held(self, makers: Sequence[ir.Node]) -> dict[ir.Node, tuple[ir.Node, ...]]:
        """Return the nodes between each maker and those before it, itself among them."""
        known, taken = set(makers), set[ir.Node]()
        found: dict[ir.Node, tuple[ir.Node, ...]] = {}
        for maker in sorted(known, key=self._order.__getitem__):
            nodes, waiting = [], [maker]
            while waiting:
                node = waiting.pop()
                if node in taken or node not in self._order or _is_constant(node):
                    continue
                if node is not maker and node in known:
                    continue
                taken.add(node)
                nodes.append(node)
                producers = (value.producer() for value in read_by(node))
                waiting.extend(each for each in producers if each is not None)
            found[maker] = tuple(sorted(nodes, key=self._order.__getitem__))
        return found


def _last_within(node: ir.Node, wire: Wire) -> ir.Node:
    """Return the last node that was fused behind `node`.

    A residual sum and an activation show in the runtime's node; one that computes in integers
    writes integers, so all up to the next QuantizeLinear is within it.
    """
    if len(wire.inputs) > _SUM_INPUT and wire.inputs[_SUM_INPUT] and not wire.is_integer:
        node = _next(node, "Add")
    if wire.activation and node.op_type != wire.activation:
        node = _next(node, wire.activation)
    if wire.is_integer:
        last = _next(node, *_WITHIN_INTEGERS)
        quantized = _next(last, "QuantizeLinear")
        node = quantized if quantized is not last else node
    return node


def _next(node: ir.Node, *op_types: str) -> ir.Node:
    """Return the only reader of the node's result if it is of these types, else the node."""
    readers = {use.node for use in node.outputs[0].uses()}
    (reader,) = readers if len(readers) == 1 else (None,)
    return reader if reader is not None and reader.op_type in op_types else node


def _is_constant(node: ir.Node) -> bool:
    return all(constant_of(output) is not None for output in node.outputs)
