"""The form of a quantized graph: what a target's kernels want of Q/DQ pairs, weights and biases.

TensorRT refuses what is not its form; onnxruntime runs it in float, or by a slower kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting.finding import Finding, Severity, at
from edgekit.target import Target

_WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1}
_WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
_BIAS = 2
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_AGAIN = "quantize the float model for this target: `edgekit quantize --target {name}`"


def form_findings(model: Model, target: Target) -> Iterator[Finding]:
    """Yield where the Q/DQ form is not what `target` wants; nothing for a graph without Q/DQ.

    Checks: opset; scales; activation type and zero-points; weight type, zero-points, channel
    axis; the form of the bias; Q/DQ in pairs and on both inputs of a residual Add; per-tensor
    activations.
    """
    nodes = list(model.ir.graph)
    pairs = [node for node in nodes if node.op_type in (_QUANTIZE, _DEQUANTIZE)]
    if not pairs:
        return
    least = target.quantized.min_opset
    if model.opset < least:
        what = f"opset {model.opset}; {target.name} needs {least} for per-channel Q/DQ"
        yield Finding(severity="reject", where="opset", what=what, remedy=_again(target))
    for node in pairs:
        yield from _scale_findings(node)
        if node.op_type == _QUANTIZE:
            yield from _activation_findings(node, target)
    for node in nodes:
        if node.op_type in _WEIGHTED and _is_quantized(node, 1, constant=True):
            yield from _weight_findings(node, target)
            if node.op_type != "MatMul":
                yield from _bias_findings(node, target)
        if node.op_type == "Add":
            yield from _residual_findings(node, target)


def _scale_findings(node: ir.Node) -> Iterator[Finding]:
    scale = _constant(node, 1)
    if scale is None:
        yield at(node, "reject", "its scale is computed", "make scales constants")
    elif not (np.all(np.isfinite(scale)) and np.all(scale >= np.finfo(np.float32).tiny)):
        what = "a scale is zero, negative, denormal or not finite"
        yield at(node, "reject", what, "calibrate again with data that reach this tensor")


def _activation_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    form = target.quantized
    zero_point = _constant(node, 2)
    dtype = "uint8" if zero_point is None else str(zero_point.dtype)
    if dtype != form.activations:
        what = f"{dtype} activations; {target.name} wants {form.activations}"
        yield at(node, _refused(target, "slow"), what, _again(target))
    if form.symmetric_activations and zero_point is not None and np.any(zero_point != 0):
        what = f"its zero-point is not 0, which {target.name} wants"
        yield at(node, "reject", what, _again(target))
    scale = _constant(node, 1)
    if scale is not None and scale.size > 1:
        what = "activations are quantized per channel; no kernel takes that"
        yield at(node, _refused(target, "fallback"), what, "one scale for the whole tensor")
    if not any(_reads_integers(use.node) for use in node.outputs[0].uses()):
        what = "QuantizeLinear without a DequantizeLinear behind it"
        yield at(node, _refused(target, "fallback"), what, "put the pair back together")


def _weight_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    dequantize = _producer(node, 1)
    if dequantize is None:
        return
    integers, scale = _constant(dequantize, 0), _constant(dequantize, 1)
    zero_point = _constant(dequantize, 2)
    again = _again(target)
    taken = ("int8",) if _is_tensorrt(target) else ("int8", "int4")
    if integers is not None and str(integers.dtype) not in taken:
        what = f"its weight is {integers.dtype}; {target.name} wants int8"
        yield at(node, _refused(target, "slow"), what, again)
    wants_zero = target.quantized.symmetric_weights
    if wants_zero and zero_point is not None and np.any(zero_point != 0):
        what = f"its weight has a zero-point; {target.name} wants 0"
        yield at(node, _refused(target, "slow"), what, again)
    if not _is_quantized(node, 0, constant=False):
        what = "its weight is int8 and its input float: it runs in float"
        yield at(node, "fallback", what, "quantize its input, or leave its weight in float")
    if scale is None or integers is None or scale.size == 1:
        return
    wanted, found = _weight_axis(node) % integers.ndim, dequantize.attributes.get_int("axis", 1)
    if found % integers.ndim != wanted:
        what = f"its weight is quantized along axis {found}, wanted {wanted}"
        yield at(node, _refused(target, "fallback"), what, again)


def _bias_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    if bias is None:
        return
    dequantize = _producer(node, _BIAS)
    quantized = dequantize is not None and dequantize.op_type == _DEQUANTIZE
    again = _again(target)
    if target.quantized.bias == "float":
        if quantized:
            yield at(node, "reject", "its bias is quantized; the runtime wants it float", again)
        return
    if not quantized or dequantize is None:
        what = "its bias is float: the runtime may not fuse it, and runs it in float"
        yield at(node, "fallback", what, again)
        return
    integers, scale = _constant(dequantize, 0), _constant(dequantize, 1)
    if integers is not None and integers.dtype != np.int32:
        yield at(node, "fallback", f"its bias is {integers.dtype}, wanted int32", again)
    sources = (_producer(node, 0), _producer(node, 1))
    scales = [None if source is None else _constant(source, 1) for source in sources]
    if scale is not None and scales[0] is not None and scales[1] is not None:
        product = np.broadcast_to(scales[0] * scales[1], scale.shape)
        if not np.allclose(scale, product, rtol=1e-5):
            what = "its bias scale is not input scale x weight scale: the sum comes out wrong"
            yield at(node, "reject", what, again)


def _residual_findings(node: ir.Node, target: Target) -> Iterator[Finding]:
    if not target.quantized.quantize_residual_inputs:
        return
    values = [value for value in node.inputs if value is not None]
    if any(constant_of(value) is not None for value in values):
        return
    quantized = [_is_quantized(node, index, constant=False) for index in range(len(values))]
    if any(quantized) and not all(quantized) and _is_quantized_behind(node):
        what = "one input of a residual Add is quantized and the other is not: it runs in float"
        remedy = "Q/DQ on both inputs, or on none"
        yield at(node, "slow" if _is_tensorrt(target) else "fallback", what, remedy)


def _is_tensorrt(target: Target) -> bool:
    return target.runtimes[0] == "tensorrt"


def _refused(target: Target, otherwise: Severity) -> Severity:
    """Return how grave a wrong form is: TensorRT refuses it, onnxruntime does `otherwise`."""
    return "reject" if _is_tensorrt(target) else otherwise


def _again(target: Target) -> str:
    return _AGAIN.format(name=target.name)


def _reads_integers(node: ir.Node) -> bool:
    name = node.op_type
    return name == _DEQUANTIZE or name.startswith("QLinear") or name.endswith("Integer")


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
