"""Brings a graph into the form that the analysis reads."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of, name_nodes

_STANDARD = ("", "ai.onnx")
_STORED = frozenset(("Constant", "Identity", "DequantizeLinear"))
_RECURRENT = frozenset(("GRU", "LSTM", "RNN"))
_STATES = (5, 6)
_MOVING = frozenset(
    ("Expand", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
)


def prepared(model: Model) -> Model:
    """Return the model with every node named and every stored weight as an initializer.

    Constant, Identity and DequantizeLinear of constants become float initializers of the same
    name. An initial state of zeros is left out, as it is the default: several layers share one
    and would seem to belong together.
    """
    graph = model.editable()
    name_nodes(graph)
    for node in list(graph.graph):
        if node.op_type not in _STORED or node.domain not in _STANDARD or len(node.outputs) != 1:
            continue
        value = node.outputs[0]
        array = constant_of(value)
        if array is None or value.is_graph_output():
            continue
        stored = ir.Value(
            name=value.name,
            const_value=ir.tensor(array, name=value.name),
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        )
        value.name = None
        value.replace_all_uses_with(stored)
        graph.graph.remove(node, safe=True)
        graph.graph.register_initializer(stored)
    for node in graph.graph:
        if node.op_type in _RECURRENT and node.domain in _STANDARD:
            for index in _STATES:
                if index < len(node.inputs) and _is_zero(node.inputs[index]):
                    node.replace_input_with(index, None)
    RemoveUnusedNodesPass()(graph)
    return Model(ir=graph, name=model.name)


def _is_zero(value: ir.Value | None) -> bool:
    """Say whether a value holds zeros alone, whatever its shape."""
    while value is not None:
        found = constant_of(value)
        if found is not None:
            return not np.any(found)
        node = value.producer()
        if node is None:
            return False
        if node.op_type == "ConstantOfShape":
            filled = node.attributes.get("value")
            return filled is None or not np.any(filled.as_tensor().numpy())
        if node.op_type not in _MOVING:
            return False
        value = node.inputs[0]
    return False
