"""What a graph is like after channels have gone: new lengths, and how a node is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import Coupling, Ids, Keep


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
        positions = self._coupling.kept(value.name or "", axis, self._keep)
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

    def shortened(self, value: ir.Value) -> dict[int, int]:
        """Return the new lengths of the axes that lose positions, by axis."""
        axes = self._coupling.axes.get(value.name or "", ())
        found = ((axis, self.kept(value, axis)) for axis in range(len(axes)))
        return {axis: len(positions) for axis, positions in found if positions is not None}

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
        self, node: ir.Node, index: int, lengths: Mapping[int, int], word: str
    ) -> None:
        """Give a node a list of lengths in which some entries are new.

        What is computed in the graph stays computed; only the new entries are put over it.
        """
        value = node.inputs[index]
        if value is None or not lengths:
            return
        array = constant_of(value)
        if array is None:
            where = self.overwriting(value, lengths, f"{node.name}.{word}")
            self._graph.insert_before(node, where)
            node.replace_input_with(index, where.outputs[0])
            return
        changed = array.copy()
        changed[list(lengths)] = list(lengths.values())
        self.tell(node, index, changed, word)

    def overwriting(self, value: ir.Value, entries: Mapping[int, int], name: str) -> ir.Node:
        """Return a node, not yet in the graph, that replaces entries of computed int64 numbers."""
        (size,) = self.shape(value)
        numbers, chosen = np.zeros(size, np.int64), np.zeros(size, np.bool_)
        numbers[list(entries)], chosen[list(entries)] = list(entries.values()), True
        name = self._fresh(name)
        parts = (
            self.constant(f"{name}.chosen", chosen),
            self.constant(f"{name}.numbers", numbers),
            value,
        )
        node = ir.node("Where", parts, name=name)
        (output,) = node.outputs
        output.name, output.dtype, output.shape = name, ir.DataType.INT64, ir.Shape([size])
        return node

    def constant(self, name: str, array: npt.NDArray[Any]) -> ir.Value:
        """Return a new initializer; its name gets a number when it is taken."""
        name = self._fresh(name)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
        self._graph.register_initializer(value)
        return value

    def _fresh(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}.{number}"
        self._taken.add(found)
        return found
