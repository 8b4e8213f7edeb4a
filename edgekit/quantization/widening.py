"""Half-precision graphs in float32 inside: what calibrates, quantizes and fits reads float32."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model

_HALVES = frozenset((ir.DataType.FLOAT16, ir.DataType.BFLOAT16))
_TYPED = ("to", "dtype", "output_dtype")
"""Attributes that name an element type."""


def widened(model: Model) -> Model:
    """Return the model with all of its float16 and bfloat16 in float32; inputs and outputs stay.

    Args:
        model: unchanged; itself the result when there is nothing to widen.
    """
    if not any(tensor.dtype in _HALVES for tensor in model.tensors()) and not any(
        value.dtype in _HALVES for value in model.ir.graph.inputs
    ):
        return model
    edited = model.editable()
    ends = [value.dtype for value in edited.graph.outputs]
    for graph in edited.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and value.dtype in _HALVES:
                value.const_value = _wide(value.const_value, value.name)
                value.type = ir.TensorType(ir.DataType.FLOAT)
        for node in graph:
            _widen_node(node)
    _keep_ends(edited.graph, ends)
    return Model(ir=edited, name=model.name)


def _widen_node(node: ir.Node) -> None:
    for value in node.outputs:
        if value.dtype in _HALVES:
            value.type = ir.TensorType(ir.DataType.FLOAT)
    for name, attribute in list(node.attributes.items()):
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _HALVES:
            node.attributes[name] = ir.AttrTensor(name, _wide(attribute.as_tensor(), None))
        elif name in _TYPED and attribute.value in {int(half) for half in _HALVES}:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _wide(tensor: ir.TensorProtocol, name: str | None) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=name)


def _keep_ends(graph: ir.Graph, ends: list[ir.DataType | None]) -> None:
    """Let inputs and outputs have the types that they had, by a Cast behind or before them."""
    for value in graph.inputs:
        if value.dtype in _HALVES and not value.is_initializer():
            readers = list(value.uses())
            cast = _cast(value, ir.DataType.FLOAT, f"{value.name}_wide")
            for use in readers:
                use.node.replace_input_with(use.idx, cast.outputs[0])
            graph.insert_before(graph[0], cast)
    for index, (value, dtype) in enumerate(zip(list(graph.outputs), ends, strict=True)):
        producer = value.producer()
        if dtype in _HALVES and producer is not None:
            name, value.name = value.name or "", f"{value.name}_wide"
            cast = _cast(value, dtype, name)
            graph.insert_after(producer, cast)
            graph.outputs[index] = cast.outputs[0]


def _cast(value: ir.Value, dtype: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": int(dtype)}, name=f"{name}_cast")
    out = node.outputs[0]
    out.name, out.dtype, out.shape = name, dtype, value.shape
    return node
