"""The graph without its weights, small enough for every library that copies its input."""

from __future__ import annotations

import onnx_ir as ir

_SMALL_BYTES = 1024
"""Tensors up to this size stay: shapes, axes, scales, which inference reads."""


def without_weights(model: ir.Model) -> bytes:
    """Serialize `model` with larger initializers turned into inputs of the same type and shape."""
    light = model.clone()
    graph = light.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= _SMALL_BYTES:
            continue
        value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
        del graph.initializers[name]
        value.const_value = None
        if value not in graph.inputs:
            graph.inputs.append(value)
    serialized: bytes = ir.to_proto(light).SerializeToString()
    return serialized
