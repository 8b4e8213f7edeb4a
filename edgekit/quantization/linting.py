"""Refuses a quantized graph that a target's runtime would reject or run slowly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.target import QuantizedForm, Target

_WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1}
_WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
_BIAS = 2
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to mend.

    Attributes:
        severity: `error` when the runtime rejects the graph or computes something else, `warn`
            when it runs slower than it could.
        where: node or tensor.
        what: what is wrong, and what the target wants.
    """

    severity: Literal["error", "warn"]
    where: str
    what: str


def lint(model: Model, target: Target) -> tuple[Finding, ...]:
    """Return what `target` would reject or run slowly; nothing for a graph without Q/DQ.

    Checks: opset; activation type and zero-points; weight type, zero-points, channel axis; the
    form of the bias; Q/DQ in pairs and on both inputs of a residual Add; per-tensor activations.
    """
    nodes = list(model.ir.graph)
    pairs = [node for node in nodes if node.op_type in (_QUANTIZE, _DEQUANTIZE)]
    if not pairs:
        return ()
    found: list[Finding] = []
    form = target.quantized
    if model.opset < form.min_opset:
        what = f"opset {model.opset}; {target.name} needs {form.min_opset} for per-channel Q/DQ"
        found.append(Finding(severity="error", where="opset", what=what))
    for node in pairs:
        found.extend(_scale_findings(node))
        if node.op_type == _QUANTIZE:
            found.extend(_activation_findings(node, target))
    for node in nodes:
        if node.op_type in _WEIGHTED and _is_quantized(node, 1, constant=True):
            found.extend(_weight_findings(node, target))
            if node.op_type != "MatMul":
                found.extend(_bias_findings(node, form))
        if node.op_type == "Add":
            found.extend(_residual_findings(node, target))
    return tuple(found)


def _scale_findings(node: ir.Node) -> Iterator[Finding]:
    scale = _constant(node, 1)
    if scale is None:
        yield _error(node, "its scale is computed, not a constant")
    elif not (np.all(np.isfinite(scale)) and np.all(scale >= np.finfo(np.float32).tiny)):
        yield _error(node, "a scale is zero, negative, denormal or not finite")


def _activation_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    form = target.quantized
    zero_point = _constant(node, 2)
    dtype = "uint8" if zero_point is None else str(zero_point.dtype)
    if dtype != form.activations:
        severity: Literal["error", "warn"] = "error" if form.symmetric_activations else "warn"
        what = f"{dtype} activations; {target.name} wants {form.activations}"
        yield Finding(severity=severity, where=_name(node), what=what)
    if form.symmetric_activations and zero_point is not None and np.any(zero_point != 0):
        yield _error(node, f"zero-point {zero_point.reshape(-1)[0]}; {target.name} wants 0")
    scale = _constant(node, 1)
    if scale is not None and scale.size > 1:
        yield _error(node, "activations are quantized per channel; no kernel takes that")
    if not any(use.node.op_type == _DEQUANTIZE for use in node.outputs[0].uses()):
        yield _error(node, "QuantizeLinear without a DequantizeLinear behind it")


def _weight_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    form = target.quantized
    dequantize = _producer(node, 1)
    if dequantize is None:
        return
    integers, scale = _constant(dequantize, 0), _constant(dequantize, 1)
    zero_point = _constant(dequantize, 2)
    if integers is not None and integers.dtype != np.int8:
        yield _error(node, f"its weight is {integers.dtype}; {target.name} wants int8")
    if form.symmetric_weights and zero_point is not None and np.any(zero_point != 0):
        yield _error(node, f"its weight has a zero-point; {target.name} wants 0")
    if scale is None or integers is None:
        return
    axis = _weight_axis(node)
    if scale.size == 1 and form.per_channel_weights and integers.shape[axis] > 1:
        yield _warning(node, "its weight has one scale; one a channel is more accurate")
    elif scale.size > 1:
        rank = integers.ndim
        found = dequantize.attributes.get_int("axis", 1) % rank
        if found != axis % rank:
            yield _error(node, f"its weight is quantized along axis {found}, wanted {axis % rank}")
    if not _is_quantized(node, 0, constant=False):
        yield _warning(node, "its weight is int8 and its input float: it runs in float")


def _bias_findings(node: ir.Node, form: QuantizedForm) -> Iterator[Finding]:
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    if bias is None:
        return
    dequantize = _producer(node, _BIAS)
    quantized = dequantize is not None and dequantize.op_type == _DEQUANTIZE
    if form.bias == "float" and quantized:
        yield _error(node, "its bias is quantized; the runtime wants a float bias")
    if form.bias != "int32":
        return
    if not quantized or dequantize is None:
        yield _warning(node, "its bias is float: the runtime may not fuse it")
        return
    integers, scale = _constant(dequantize, 0), _constant(dequantize, 1)
    if integers is not None and integers.dtype != np.int32:
        yield _error(node, f"its bias is {integers.dtype}, wanted int32")
    sources = (_producer(node, 0), _producer(node, 1))
    scales = [None if source is None else _constant(source, 1) for source in sources]
    if scale is not None and scales[0] is not None and scales[1] is not None:
        product = np.broadcast_to(scales[0] * scales[1], scale.shape)
        if not np.allclose(scale, product, rtol=1e-5):
            yield _error(node, "its bias scale is not input scale x weight scale")


def _residual_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    if not target.quantized.quantize_residual_inputs:
        return
    values = [value for value in node.inputs if value is not None]
    if any(constant_of(value) is not None for value in values):
        return
    quantized = [_is_quantized(node, index, constant=False) for index in range(len(values))]
    if any(quantized) and not all(quantized) and _is_quantized_behind(node):
        yield _warning(node, "one input of a residual Add is quantized and the other is not")


def _is_quantized_behind(node: ir.Node) -> bool:
    return any(use.node.op_type == _QUANTIZE for use in node.outputs[0].uses())


def _is_quantized(node: ir.Node, index: int, *, constant: bool) -> bool:
    source = _producer(node, index)
    if source is None or source.op_type != _DEQUANTIZE:
        return False
    return (_constant(source, 0) is not None) == constant


def _weight_axis(node: ir.Node) -> int:
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return _WEIGHT_AXES.get(node.op_type, -1)


def _producer(node: ir.Node, index: int) -> ir.Node | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None else value.producer()


def _constant(node: ir.Node, index: int) -> np.ndarray | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None else constant_of(value)


def _name(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def _error(node: ir.Node, what: str) -> Finding:
    return Finding(severity="error", where=_name(node), what=what)


def _warning(node: ir.Node, what: str) -> Finding:
    return Finding(severity="warn", where=_name(node), what=what)
