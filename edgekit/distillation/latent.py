"""Integer weights of a quantized graph, trained as the real numbers that they are rounded from.

A DequantizeLinear that reads integers makes real numbers of them. While the student learns, the
integers are round(w / scale) + zero point of real numbers w, and the gradient passes straight
through the rounding, inside the range of the integers (Bengio et al. 2013, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.distillation.packing import Array
from edgekit.graph import Model

_RANGES = {
    ir.DataType.INT4: (-8, 7),
    ir.DataType.UINT4: (0, 15),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT32: (-(2**31), 2**31 - 1),
}
_FOUR_BITS = 7
_MATRIX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """One weight.

    Attributes:
        name: of the initializer.
        read: value that is dequantized: the initializer, or what widens it.
        integers: as they are stored, in int32.
        scale, point: so that they broadcast with the integers.
        low, high: least and largest integer.
    """

    name: str
    read: str
    integers: Array
    scale: Array
    point: Array
    low: int
    high: int


def latents(model: Model) -> tuple[Latent, ...]:
    """Return the integer weights that one DequantizeLinear reads, by tensor or by channel."""
    found = [_latent(node) for node in model.ir.graph if node.op_type == "DequantizeLinear"]
    known = [one for one in found if one is not None]
    names = [one.name for one in known]
    return tuple(one for one in known if names.count(one.name) == 1)


def _latent(node: ir.Node) -> Latent | None:
    value = node.inputs[0]
    source = _source(value)
    scale = _constant(node.inputs[1])
    if value is None or source is None or scale is None or len(list(value.uses())) != 1:
        return None
    tensor = source.const_value
    given = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004  # the third
    point = _constant(given)
    if tensor is None or tensor.dtype not in _RANGES or (given is not None and point is None):
        return None
    integers = tensor.numpy().astype(np.int32)
    if scale.ndim > 1 or node.attributes.get_int("block_size", 0) != 0:
        return None
    axis = node.attributes.get_int("axis", 1)
    low, high = _RANGES[tensor.dtype]
    if tensor.dtype == ir.DataType.INT8 and integers.ndim >= _MATRIX:
        largest = _FOUR_BITS if np.abs(integers).max(initial=0) <= _FOUR_BITS else high
        low, high = -largest, largest
    return Latent(
        name=source.name or "",
        read=value.name or "",
        integers=integers,
        scale=_along(scale.astype(np.float32), integers.ndim, axis),
        point=_along(
            np.zeros((), np.float32) if point is None else point.astype(np.float32),
            integers.ndim,
            axis,
        ),
        low=low,
        high=high,
    )


def _source(value: ir.Value | None) -> ir.Value | None:
    """Return the initializer that a value is, or is widened from."""
    if value is None:
        return None
    maker = value.producer()
    if maker is not None and maker.op_type == "Cast":
        value = maker.inputs[0]
    return value if value is not None and value.is_initializer() else None


def _constant(value: ir.Value | None) -> Array | None:
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def _along(parameter: Array, rank: int, axis: int) -> Array:
    if parameter.size == 1:
        return parameter.reshape((1,) * rank)
    shape = [1] * rank
    shape[axis] = -1
    return parameter.reshape(shape)
