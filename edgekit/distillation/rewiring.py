"""Nodes that take the place of others, whose values keep their names."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.distillation.packing import Array


def weight(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Return a new float32 initializer."""
    array = np.ascontiguousarray(array, np.float32)
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


def node(kind: str, name: str, inputs: list[ir.Value | None], attributes: list[ir.Attr]) -> ir.Node:
    """Return a new node of one float output, not in a graph yet."""
    made = ir.Node("", kind, inputs, attributes, name=name)
    made.outputs[0].name = f"{name}_output"
    made.outputs[0].dtype = ir.DataType.FLOAT
    return made


def take_place(new: ir.Value, old: ir.Value) -> None:
    """Let `new` be read, and called, as `old` was."""
    name, old.name = old.name, None
    new.shape, new.type = old.shape, old.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    new.name = name


def clear(graph: ir.Graph, gone: list[ir.Node]) -> None:
    """Remove nodes, and the initializers that nothing reads any more."""
    read = {value for one in gone for value in one.inputs if value is not None}
    graph.remove(gone, safe=True)
    for value in read:
        if value.is_initializer() and not value.uses() and not value.is_graph_input():
            del graph.initializers[value.name or ""]
