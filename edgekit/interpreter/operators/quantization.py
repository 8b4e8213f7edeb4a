"""Rounding to a grid and back; gradients pass straight through inside the range.

Quantized values are floats on the way, so what moves or compares them need not know of it.

Source: Bengio et al. 2013, section 4 (straight-through); the scale's gradient comes out as in
Esser et al. 2020, "Learned Step Size Quantization", eq. 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import type_of

_UINT8 = 2
_RANGES = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.int16: (-32768, 32767),
    torch.int32: (-(2**31), 2**31 - 1),
}


def quantize(node: Node, x: Tensor, scale: Tensor, point: Tensor | None = None) -> Tensor:
    """Divide by the scale, round half to even, shift, keep within the range of the type."""
    dtype = type_of(node.get("output_dtype", 0) or _UINT8) if point is None else point.dtype
    if dtype not in _RANGES or x.dtype not in {torch.float32, torch.float64}:
        raise node.refusal("these types", f"{x.dtype} to {dtype}")
    low, high = _RANGES[dtype]
    real = x / _along(node, scale, x)
    whole = torch.round(real).detach() + (real - real.detach())
    if point is not None:
        whole = whole + _along(node, point, x).to(x.dtype)
    return whole.clamp(low, high)


def dequantize(node: Node, x: Tensor, scale: Tensor, point: Tensor | None = None) -> Tensor:
    """(x - zero point) * scale."""
    real = x.to(scale.dtype)
    if point is not None:
        real = real - _along(node, point, x).to(scale.dtype)
    return real * _along(node, scale, x)


def dynamic_quantize(_: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """To uint8 over the range of x, zero included."""
    zero = torch.zeros((), dtype=x.dtype)
    low, high = torch.minimum(x.min(), zero), torch.maximum(x.max(), zero)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    point = torch.round((-low / scale).clamp(0, 255)).detach()
    real = x / scale
    whole = torch.round(real).detach() + (real - real.detach())
    return (whole + point).clamp(0, 255), scale, point


def _along(node: Node, parameter: Tensor, x: Tensor) -> Tensor:
    """Return a scale or zero point so that it broadcasts: per tensor, per axis, or per block."""
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    if block:
        wide = parameter.repeat_interleave(block, axis)
        return wide.narrow(axis, 0, x.shape[axis])
    if parameter.ndim == 0 or parameter.numel() == 1:
        return parameter.reshape(())
    sizes = [1] * x.ndim
    sizes[axis] = -1
    return parameter.reshape(sizes)


OPERATORS: dict[str, Operator] = {
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic_quantize,
    "QuantizeLinear": quantize,
}
