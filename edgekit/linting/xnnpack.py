"""What restricts the operators that onnxruntime's XNNPACK provider takes.

Source: onnxruntime's documentation of the provider, "Supported ops", and what its checks in
onnxruntime/core/providers/xnnpack ask of shapes and types. Not checked on hardware.
"""

from __future__ import annotations

import onnx_ir as ir

from edgekit.graph.surgery import constant_of
from edgekit.linting.restriction import PLANE, Restriction, is_constant, rank_of

_BIAS = 2
_MATRIX = 2
_FUSING = frozenset(("Conv", "MaxPool", "AveragePool"))


def _convolution(node: ir.Node) -> str | None:
    value = node.inputs[0]
    if value is None or value.shape is None or len(value.shape) != PLANE:
        return "two spatial axes only"
    if any(not isinstance(axis, int) for axis in tuple(value.shape)[1:]):
        return "channels, height and width must be known"
    if not is_constant(node, 1) or not is_constant(node, _BIAS):
        return "weight and bias must be constant"
    return _integers(node)


def _integers(node: ir.Node) -> str | None:
    """Return why the form of a quantized convolution has no kernel."""
    sources = [None if value is None else value.producer() for value in node.inputs[:2]]
    data, weight = sources
    if data is None or weight is None or {data.op_type, weight.op_type} != {"DequantizeLinear"}:
        return None
    if _integer_type(data) != _integer_type(weight):
        return f"{_integer_type(data)} activations need a weight of that type"
    scales = None if weight.inputs[1] is None else constant_of(weight.inputs[1])
    if node.op_type == "ConvTranspose" and scales is not None and scales.size > 1:
        return "one scale for the whole weight"
    return None


def _fused(node: ir.Node) -> str | None:
    source = None if node.inputs[0] is None else node.inputs[0].producer()
    behind = source is not None and source.op_type in _FUSING
    return None if behind else f"only behind {', '.join(sorted(_FUSING))}"


def _pool(node: ir.Node) -> str | None:
    return None if rank_of(node) in (None, PLANE) else "two spatial axes only"


def _resize(node: ir.Node) -> str | None:
    return None if node.attributes.get_string("mode", "nearest") == "linear" else "only linear"


def _softmax(node: ir.Node) -> str | None:
    rank = rank_of(node)
    last = (-1,) if rank is None else (-1, rank - 1)
    return None if node.attributes.get_int("axis", -1) in last else "along the last axis only"


def _product(node: ir.Node) -> str | None:
    source = None if node.inputs[0] is None else node.inputs[0].producer()
    if source is not None and source.op_type == "DequantizeLinear":
        return "only in float"
    if not is_constant(node, 1):
        return "its second input must be constant"
    return None if rank_of(node) in (None, 1, _MATRIX) else "matrices only"


def _integer_type(dequantize: ir.Node) -> str:
    zero_point = dequantize.inputs[2] if len(dequantize.inputs) > 2 else None  # noqa: PLR2004  # the third
    found = None if zero_point is None else constant_of(zero_point)
    return "uint8" if found is None else str(found.dtype)


RESTRICTIONS: dict[str, Restriction] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "Resize": _resize,
    "Relu": _fused,
    "Clip": _fused,
    "Softmax": _softmax,
    "Gemm": _product,
    "MatMul": _product,
}
