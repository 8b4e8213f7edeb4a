"""What a graph is like after channels have gone: new lengths, and how a node is told of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import Coupling, Ids, Keep


class Change(NamedTuple):
    """Lengths of an axis."""

    before: int
    after: int


class Cut:
    """One removal of channels from one graph that is being edited.

    Args:
        coupling: of the graph as it was.
        keep: which channels stay.
        graph: a copy of the graph, with its initializers still whole.

    Attributes:
        opset: version of the default operator set.
    """

    def __init__(self, coupling: Coupling, keep: Keep, graph: ir.Graph) -> None:
        self.opset = coupling.model.opset
        self._coupling, self._keep, self._graph = coupling, keep, graph
        self._taken = {*graph.initializers, *(value.name or "" for value in graph.inputs)}
        for node in graph.all_nodes():
            self._taken.update((node.name or "", *(value.name or "" for value in node.outputs)))

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """Return the shape that the value had."""
        if value.const_value is not None:
            return tuple(value.const_value.shape.numpy())
        return self._coupling.shapes[value.name or ""]

    def kept(self, value: ir.Value, axis: int) -> Ids | None:
        """Return the positions that stay on an axis; None when it stays whole.

        Raises:
            ModelError: none would stay.
        """
        if not value.name:
            return None
        positions = self._coupling.kept(value.name, axis, self._keep)
        if positions is not None and not positions.size:
            raise ModelError(
                "no channel would stay",
                where=f"{value.name}, axis {axis}",
                remedy="keep at least one of each group",
            )
        return positions

    def length(self, value: ir.Value, axis: int) -> int:
        """Return how many positions an axis will have."""
        positions = self.kept(value, axis)
        return self.shape(value)[axis] if positions is None else len(positions)

    def shortened(self, value: ir.Value) -> dict[int, Change]:
        """Return the old and new lengths of the axes that lose positions, by axis."""
        axes = self._coupling.axes.get(value.name or "", ())
        found = ((axis, self.kept(value, axis)) for axis in range(len(axes)))
        return {
            axis: Change(self.shape(value)[axis], len(positions))
            for axis, positions in found
            if positions is not None
        }

    def tell(self, node: ir.Node, index: int, array: npt.NDArray[Any], word: str) -> None:
        """Give a node a parameter of its own; the old one goes when nothing else reads it."""
        if len(node.inputs) <= index:
            node.resize_inputs(index + 1)
        old = node.inputs[index]
        node.replace_input_with(index, self.constant(f"{node.name}.{word}", array))
        if old is None or not old.is_initializer() or old.uses():
            return
        if not (old.is_graph_input() or old.is_graph_output()):
            del self._graph.initializers[old.name or ""]

    def tell_lengths(
        self, node: ir.Node, index: int, changes: Mapping[int, Change], word: str
    ) -> None:
        """Give a node a list of lengths in which some entries have changed.

        A computed list may grow with the batch, also where an entry counts channels and batch in
        one. So what is taken off is a share: v - v * gone / before, which leaves -1, 0 and 1 alone.
        """
        value = node.inputs[index]
        if value is None or not changes:
            return
        array = constant_of(value)
        if array is not None:
            changed = array.copy()
            changed[list(changes)] = [change.after for change in changes.values()]
            self.tell(node, index, changed, word)
            return
        gone = {at: Change(c.before, c.before - c.after) for at, c in changes.items()}
        share = self.scaled(value, gone, 0, f"{node.name}.{word}.gone")
        rest = self._arithmetic("Sub", value, share[-1].outputs[0], f"{node.name}.{word}")
        self._graph.insert_before(node, [*share, rest])
        node.replace_input_with(index, rest.outputs[0])

    def scaled(
        self, value: ir.Value, changes: Mapping[int, Change], other: int, name: str
    ) -> list[ir.Node]:
        """Return nodes, not yet in the graph, that multiply int64 numbers by after / before.

        Entries without a change are multiplied by `other`.
        """
        factors = np.full(self.shape(value), other, np.int64)
        divisors = np.ones(self.shape(value), np.int64)
        for at, change in changes.items():
            common = math.gcd(change.before, change.after)
            factors[at], divisors[at] = change.after // common, change.before // common
        product = self._arithmetic(
            "Mul", value, self.constant(f"{name}.factor", factors), f"{name}.product"
        )
        (multiplied,) = product.outputs
        divisor = self.constant(f"{name}.divisor", divisors)
        return [product, self._arithmetic("Div", multiplied, divisor, name)]

    def constant(self, name: str, array: npt.NDArray[Any]) -> ir.Value:
        """Return a new initializer; its name gets a number when it is taken."""
        name = self._fresh(name)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
        self._graph.register_initializer(value)
        return value

    def _arithmetic(self, op_type: str, one: ir.Value, other: ir.Value, name: str) -> ir.Node:
        name = self._fresh(name)
        node = ir.node(op_type, [one, other], name=name)
        (output,) = node.outputs
        output.name, output.dtype = name, ir.DataType.INT64
        return node

    def _fresh(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}.{number}"
        self._taken.add(found)
        return found
