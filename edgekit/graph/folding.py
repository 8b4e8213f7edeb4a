"""Fold what scales and shifts channels into the weights before it.

With y = W x + b per output channel c, any of
    BatchNormalization(y)   = y * s + t,  s = gamma / sqrt(var + epsilon),  t = beta - mean * s
    Mul(y, s), Add(y, t), Sub(y, t), Div(y, s)
becomes W' = W * s, b' = b * s + t: one node less, no element touched twice.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph.surgery import constant_of

Array = NDArray[Any]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_ARITHMETIC = ("Mul", "Add", "Sub", "Div")


def fold_affine(graph: ir.Graph) -> dict[str, int]:
    """Fold in place, and return how many nodes of each type have gone.

    A node stays when its operand is no constant per channel, when the value before it is used
    elsewhere or is an output, or when the weights are shared.
    """
    folded: Counter[str] = Counter()
    for node in list(graph):
        found = _affine(node)
        if found is None:
            continue
        inner, scale, shift = found
        if not _fold(graph, inner, scale, shift):
            continue
        old, new = node.outputs[0], inner.outputs[0]
        name, old.name = old.name, None
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        new.name, new.shape = name, old.shape or new.shape
        graph.remove(node, safe=True)
        folded[node.op_type] += 1
    return dict(folded)


def _affine(node: ir.Node) -> tuple[ir.Node, Array, Array] | None:
    """Return the weighted node before `node`, and the scale and shift per output channel."""
    if node.domain or node.op_type not in {"BatchNormalization", *_ARITHMETIC}:
        return None
    for value in node.inputs[: 1 if node.op_type in {"BatchNormalization", "Div", "Sub"} else 2]:
        inner = value.producer() if value is not None else None
        if inner is None or inner.domain or inner.op_type not in _WEIGHTED:
            continue
        result = inner.outputs[0]
        if result is not value or result.is_graph_output() or len(result.uses()) != 1:
            continue
        channels = _channels(inner)
        if channels is None:
            continue
        operands = _normalization(node) if len(node.inputs) > 2 else _operand(node, inner, channels)  # noqa: PLR2004  # only that one has five
        if operands is not None:
            scale, shift = (np.broadcast_to(part, channels) for part in operands)
            return inner, scale, shift
    return None


def _normalization(node: ir.Node) -> tuple[Array, Array] | None:
    if node.attributes.get_int("training_mode", 0) or any(o.uses() for o in node.outputs[1:]):
        return None
    arrays = [None if value is None else constant_of(value) for value in node.inputs[1:]]
    gamma, beta, mean, variance = (None if a is None else a.astype(np.float64) for a in arrays)
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return scale, beta - mean * scale


def _operand(node: ir.Node, inner: ir.Node, channels: int) -> tuple[Array, Array] | None:
    """Return scale and shift when the other operand is one constant, or one a channel."""
    other = next((v for v in node.inputs if v is not None and v.producer() is not inner), None)
    array = None if other is None else constant_of(other)
    weight = _own_array(inner.inputs[1])
    if array is None or weight is None or array.dtype.kind != "f" or array.ndim > weight.ndim:
        return None
    rank = weight.ndim
    aligned = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if aligned.size != 1 and (aligned.shape[1] != channels or aligned.size != channels):
        return None
    flat = aligned.reshape(-1).astype(np.float64)
    one, zero = np.ones(1), np.zeros(1)
    return {
        "Mul": (flat, zero),
        "Div": (1 / flat, zero) if flat.all() else None,
        "Add": (one, flat),
        "Sub": (one, -flat),
    }[node.op_type]


def _channels(inner: ir.Node) -> int | None:
    weight = _own_array(inner.inputs[1])
    if weight is None:
        return None
    if inner.op_type == "Conv":
        return int(weight.shape[0])
    if inner.op_type == "ConvTranspose":
        return int(weight.shape[1]) * inner.attributes.get_int("group", 1)
    return int(weight.shape[0 if inner.attributes.get_int("transB", 0) else 1])


def _fold(graph: ir.Graph, inner: ir.Node, scale: Array, shift: Array) -> bool:
    """Give `inner` new weights; False when they are not its own or overflow their type."""
    weight, bias = inner.inputs[1], inner.inputs[2] if len(inner.inputs) > 2 else None  # noqa: PLR2004  # a bias is the third
    old = _own_array(weight)
    offset = np.zeros(1) if bias is None else _array(bias)
    if weight is None or old is None or offset is None:
        return False
    new_weight = (old * _along(inner, old, scale)).astype(old.dtype)
    new_bias = offset * inner.attributes.get_float("beta", 1.0) * scale + shift
    new_bias = new_bias.astype(old.dtype)
    finite = np.isfinite(new_weight).all() and np.isfinite(new_bias).all()
    if not finite or new_bias.size != scale.size:
        return False
    inner.attributes.pop("beta", None)
    weight.const_value = ir.tensor(new_weight, name=weight.name)
    if bias is None or len(bias.uses()) > 1:
        bias = ir.Value(name=f"{weight.name}.bias", const_value=ir.tensor(new_bias.reshape(-1)))
        bias.dtype = ir.DataType.from_numpy(new_bias.dtype)
        graph.register_initializer(bias)
        inner.resize_inputs(3)
        inner.replace_input_with(2, bias)
    bias.const_value = ir.tensor(new_bias.reshape(-1), name=bias.name)
    bias.shape = ir.Shape([scale.size])
    return True


def _own_array(value: ir.Value | None) -> Array | None:
    """Return the floats of an initializer that nothing else uses."""
    if value is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    return _array(value)


def _array(value: ir.Value | None) -> Array | None:
    if value is None or not value.is_initializer() or value.is_graph_output():
        return None
    array = constant_of(value)
    return None if array is None or array.dtype.kind != "f" else array


def _along(inner: ir.Node, weight: Array, scale: Array) -> Array:
    """Return the scale shaped to multiply the weight along its output channels."""
    if inner.op_type == "ConvTranspose":
        group = inner.attributes.get_int("group", 1)
        spread = np.repeat(scale.reshape(group, 1, -1), weight.shape[0] // group, axis=1)
        return spread.reshape(*weight.shape[:2], *(1,) * (weight.ndim - 2))
    axis = 1 if inner.op_type == "Gemm" and not inner.attributes.get_int("transB", 0) else 0
    return scale.reshape([-1 if index == axis else 1 for index in range(weight.ndim)])
