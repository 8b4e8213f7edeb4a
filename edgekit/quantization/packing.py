"""Stores 4-bit weights in 4 bits, where the runtime widens them again when it loads the graph.

INT4 -> Cast -> int8 -> DequantizeLinear: onnxruntime folds the Cast of a constant, so the kernels
are those of int8. A DequantizeLinear that reads INT4 itself has no int8 kernel there: the layer
would run in float (measured with onnxruntime 1.31.1: QLinearConv against Conv).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph import Model, convert
from edgekit.target import Target

OPSET = 21
_BYTE = 8
_LARGEST = 7
_MATRIX = 2


def holding(model: Model, bits: int, target: Target, shapes: dict[str, tuple[int, ...]]) -> Model:
    """Return the model in an opset that can hold such weights in so many bits.

    Itself where that is of no use (8 bits, or a runtime that does not widen INT4), or fails.
    """
    if bits == _BYTE or model.opset >= OPSET or not _widens(target):
        return model
    try:
        return convert(model, OPSET, shapes)
    except ModelError:
        return model


def packed(model: Model, bits: int, target: Target) -> Model:
    """Return the model with the weights of DequantizeLinear that fit into 4 bits stored so.

    Itself where weights have 8 bits, the opset has no INT4 or the runtime does not widen it.
    """
    if bits == _BYTE or model.opset < OPSET or not _widens(target):
        return model
    edited = model.editable()
    graph = edited.graph
    for node in list(graph):
        value = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        if value is None or not value.is_initializer() or value.const_value is None:
            continue
        integers = value.const_value.numpy()
        if integers.dtype != np.int8 or integers.ndim < _MATRIX:
            continue
        if np.abs(integers.astype(np.int16)).max(initial=0) > _LARGEST:
            continue
        name = f"{value.name}_4"
        small = ir.Value(
            name=name, shape=ir.Shape(integers.shape), type=ir.TensorType(ir.DataType.INT4)
        )
        small.const_value = ir.tensor(
            integers.astype(ir.DataType.INT4.numpy()), dtype=ir.DataType.INT4, name=name
        )
        cast = ir.node("Cast", [small], attributes={"to": int(ir.DataType.INT8)}, name=f"{name}_up")
        wide = cast.outputs[0]
        wide.name, wide.dtype, wide.shape = f"{name}_wide", ir.DataType.INT8, small.shape
        graph.register_initializer(small)
        graph.insert_before(graph[0], cast)
        for use in list(value.uses()):
            use.node.replace_input_with(use.idx, wide)
        del graph.initializers[value.name or ""]
    return Model(ir=edited, name=model.name)


def _widens(target: Target) -> bool:
    return target.runtimes[0] == "onnxruntime"
