"""Multiply-adds per operator, from concrete shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir

Shape = tuple[int, ...]
ShapeOf = Callable[[ir.Value | None], Shape | None]


def macs_of(node: ir.Node, shape_of: ShapeOf) -> int:
    """Return the multiply-adds of one node; 0 for operators that only move or map elements.

    Args:
        node: of any operator set; onnxruntime's fused and quantized forms are known, too.
        shape_of: concrete shape of a value, None when it has none.
    """
    count = _COUNTS.get(node.op_type)
    return 0 if count is None else count(node, shape_of)


def _shape(node: ir.Node, index: int, shape_of: ShapeOf) -> Shape:
    value = node.inputs[index] if index < len(node.inputs) else None
    return shape_of(value) or ()


def _output(node: ir.Node, shape_of: ShapeOf) -> Shape:
    return shape_of(node.outputs[0]) or ()


def _convolution(weight: int) -> Callable[[ir.Node, ShapeOf], int]:
    """Each output element sums over the weight's [in / group, kernel...] axes."""

    def count(node: ir.Node, shape_of: ShapeOf) -> int:
        return math.prod(_output(node, shape_of)) * math.prod(_shape(node, weight, shape_of)[1:])

    return count


def _transposed_convolution(node: ir.Node, shape_of: ShapeOf) -> int:
    """Each input element is spread over the weight's [out / group, kernel...] axes."""
    return math.prod(_shape(node, 0, shape_of)) * math.prod(_shape(node, 1, shape_of)[1:])


def _product(node: ir.Node, shape_of: ShapeOf) -> int:
    """Each output element sums over the last axis of A (the first but one if A is transposed)."""
    a = _shape(node, 0, shape_of)
    if not a:
        return 0
    transposed = node.attributes.get_int("transA", 0) and len(a) > 1
    return math.prod(_output(node, shape_of)) * (a[-2] if transposed else a[-1])


def _recurrent(node: ir.Node, shape_of: ShapeOf) -> int:
    """W is [directions, gates * hidden, in], R is [directions, gates * hidden, hidden]."""
    x, w, r = (_shape(node, index, shape_of) for index in range(3))
    return math.prod(x[:2]) * (math.prod(w) + math.prod(r))


def _attention(node: ir.Node, shape_of: ShapeOf) -> int:
    """QK' and its product with V: [.., S, d] by [.., T, d], then [.., S, T] by [.., T, dv]."""
    q, k, v = (_shape(node, index, shape_of) for index in range(3))
    if node.domain == "com.microsoft" and node.op_type == "Attention":
        batch, length, hidden = q
        return batch * length * (math.prod(k) + 2 * length * hidden)
    if not (q and k and v):
        return 0
    if len(q) == 4:  # noqa: PLR2004  # [batch, heads, length, size of a head]
        return q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])
    heads = node.attributes.get_int("q_num_heads", node.attributes.get_int("num_heads", 1))
    kv_heads = node.attributes.get_int("kv_num_heads", heads)
    value_width = v[2] * heads // max(kv_heads, 1)
    return q[0] * q[1] * k[1] * (q[2] + value_width)


def _einsum(node: ir.Node, shape_of: ShapeOf) -> int:
    """One multiply-add per combination of all its indices, for each operand after the first."""
    equation = node.attributes.get_string("equation", "") or ""
    sides = equation.replace(" ", "").split("->")[0].split(",")
    extents: dict[str, int] = {}
    for index, letters in enumerate(sides):
        if "." in letters:
            return 0
        extents.update(zip(letters, _shape(node, index, shape_of), strict=False))
    return math.prod(extents.values()) * max(len(sides) - 1, 0)


_COUNTS: dict[str, Callable[[ir.Node, ShapeOf], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "DeformConv": _convolution(1),
    "FusedConv": _convolution(1),
    "NhwcFusedConv": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _product,
    "FusedGemm": _product,
    "QGemm": _product,
    "MatMul": _product,
    "MatMulInteger": _product,
    "FusedMatMul": _product,
    "QLinearMatMul": _product,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Attention": _attention,
    "MultiHeadAttention": _attention,
    "GroupQueryAttention": _attention,
    "Einsum": _einsum,
}
