"""Fold what scales and shifts channels into the weights before or behind it.

Before it: with y = W x + b per output channel, any of
    BatchNormalization(y)   = y * s + t,  s = gamma / sqrt(var + epsilon),  t = beta - mean * s
    Mul(y, s), Add(y, t), Sub(y, t), Div(y, s)
becomes W' = W * s, b' = b * s + t: one node less, no element touched twice.

Behind it: a number s that scales all of a convolution's input becomes W' = W * s (padding is 0 *
s = 0); a number t that shifts it becomes b' = b + t * sum(W), unless there is padding; then
W (x * s + t) = (W * s) (x + t / s) still saves the multiplication.
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


def fold_affine(graph: ir.Graph, *, keep_norms: bool = False) -> dict[str, int]:
    """Fold in place, and return how many nodes of each type have gone.

    With `keep_norms` no BatchNormalization goes. A node stays when its operand is no constant per
    channel, when the value before it is used elsewhere or is an output, or when the weights are
    shared.
    """
    folded: Counter[str] = Counter()
    for node in list(graph):
        found = _affine(node)
        if found is None or (keep_norms and node.op_type == "BatchNormalization"):
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


def absorb_scalars(graph: ir.Graph) -> dict[str, int]:
    """Fold numbers that scale or shift the input of a Conv, in place; return as `fold_affine`."""
    absorbed: Counter[str] = Counter()
    for conv in [node for node in graph if node.op_type == "Conv" and not node.domain]:
        while (gone := _absorb(graph, conv)) is not None:
            absorbed[gone] += 1
    return dict(absorbed)


def freeze_statistics(graph: ir.Graph) -> None:
    """Let BatchNormalization of a constant in training mode use that constant's statistics.

    So weights are standardized (Qiao et al. 2019) in files of torch's older exporter. In place;
    afterwards the node can be folded.
    """
    for node in list(graph):
        training = node.attributes.get_int("training_mode", 0)
        if node.op_type != "BatchNormalization" or node.domain or not training:
            continue
        data = None if node.inputs[0] is None else constant_of(node.inputs[0])
        if data is None or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
            continue
        others = tuple(axis for axis in range(data.ndim) if axis != 1)
        double = data.astype(np.float64)
        for index, array in ((3, double.mean(others)), (4, double.var(others))):
            name = f"{node.name}.statistics.{index}"
            value = ir.Value(name=name, const_value=ir.tensor(array.astype(data.dtype), name=name))
            value.dtype, value.shape = ir.DataType.from_numpy(data.dtype), ir.Shape(array.shape)
            graph.register_initializer(value)
            node.replace_input_with(index, value)
        del node.attributes["training_mode"]
        node.resize_outputs(1)


def _absorb(graph: ir.Graph, conv: ir.Node) -> str | None:
    """Fold one node into `conv`; return its type, None when there is nothing to fold."""
    found = _scalar_before(conv)
    weight, old = conv.inputs[1], _own_array(conv.inputs[1])
    if found is None or weight is None or old is None:
        return None
    node, data, scale, shift = found
    if shift and _padded(conv):
        return _swap(graph, conv, node, shift)
    sums = old.astype(np.float64).reshape(len(old), -1).sum(axis=1)
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None  # noqa: PLR2004  # a bias is the third
    if bias is not None and _array(bias) is None:
        return None
    before = np.zeros(len(old)) if bias is None else _array(bias)
    parts = (old * scale).astype(old.dtype), (before + shift * sums).astype(old.dtype)
    if not all(np.isfinite(part).all() for part in parts):
        return None
    weight.const_value = ir.tensor(parts[0], name=weight.name)
    if shift:
        _set_bias(graph, conv, parts[1])
    conv.replace_input_with(0, data)
    graph.remove(node, safe=True)
    return node.op_type


def _swap(graph: ir.Graph, conv: ir.Node, add: ir.Node, shift: float) -> str | None:
    """Turn Conv(x * s + t) into Conv'(x + t / s); return the type of the node that went."""
    found = _scalar_before(add)
    weight, old = conv.inputs[1], _own_array(conv.inputs[1])
    if found is None or weight is None or old is None:
        return None
    node, data, scale, inner_shift = found
    if inner_shift or not scale or not np.isfinite(shift / scale):
        return None
    number = np.array(shift / scale, old.dtype)
    value = ir.Value(name=f"{weight.name}.shift", const_value=ir.tensor(number))
    value.dtype, value.shape = ir.DataType.from_numpy(number.dtype), ir.Shape(())
    graph.register_initializer(value)
    moved = ir.node("Add", [data, value], name=add.name)
    moved.outputs[0].name, moved.outputs[0].shape = add.outputs[0].name, add.outputs[0].shape
    moved.outputs[0].dtype = ir.DataType.from_numpy(number.dtype)
    graph.insert_before(add, moved)
    weight.const_value = ir.tensor((old * scale).astype(old.dtype), name=weight.name)
    conv.replace_input_with(0, moved.outputs[0])
    graph.remove([add, node], safe=True)
    return node.op_type


def _scalar_before(user: ir.Node) -> tuple[ir.Node, ir.Value, float, float] | None:
    """Return the node that feeds only `user`, its own data input, and x * scale + shift it does."""
    for value in user.inputs[: 1 if user.op_type == "Conv" else 2]:
        node = value.producer() if value is not None else None
        if value is None or node is None or node.domain or node.op_type not in _ARITHMETIC:
            continue
        if len(value.uses()) != 1 or value.is_graph_output():
            continue
        for index in (0, 1) if node.op_type in {"Mul", "Add"} else (1,):
            data, other = node.inputs[1 - index], node.inputs[index]
            array = None if other is None else constant_of(other)
            if data is None or array is None or array.size != 1 or array.dtype.kind != "f":
                continue
            if array.ndim > 1 and (data.shape is None or len(data.shape) < array.ndim):
                continue
            number = float(array.reshape(-1)[0])
            if node.op_type == "Div" and not number:
                continue
            inverse = 1 / number if number else 0.0
            done = {"Mul": (number, 0.0), "Div": (inverse, 0.0), "Add": (1.0, number)}
            return node, data, *done.get(node.op_type, (1.0, -number))
    return None


def _padded(conv: ir.Node) -> bool:
    if conv.attributes.get_string("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        return True
    return any(conv.attributes.get_ints("pads", []))


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
    _set_bias(graph, inner, new_bias.reshape(-1))
    return True


def _set_bias(graph: ir.Graph, node: ir.Node, array: Array) -> None:
    """Give `node` this bias: in the initializer that is its own, else in a new one."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004  # a bias is the third
    if bias is None or len(bias.uses()) > 1:
        name = f"{node.inputs[1].name}.bias" if node.inputs[1] is not None else None
        bias = ir.Value(name=name, const_value=ir.tensor(array))
        bias.dtype = ir.DataType.from_numpy(array.dtype)
        graph.register_initializer(bias)
        node.resize_inputs(3)
        node.replace_input_with(2, bias)
    bias.const_value = ir.tensor(array, name=bias.name)
    bias.shape = ir.Shape(array.shape)


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
