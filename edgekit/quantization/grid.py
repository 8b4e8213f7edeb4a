"""Affine integer grids: scale, zero-point, and quantized weights and biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.quantization.ranges import SMALLEST_SPAN, Range, ends_of
from edgekit.target import QuantizedForm

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_BIAS_LIMIT = 2.0**30
_SMALLEST_SCALE = np.float32(2.0**-60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The integers of one activation: value = (integer - zero_point) * scale.

    Attributes:
        scale: float32, normal and > 0.
        zero_point: of the dtype `uint8` or `int8`.
    """

    scale: np.float32
    zero_point: np.uint8 | np.int8

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and highest value that can be told."""
        limits = np.iinfo(self.zero_point.dtype)
        zero, scale = int(self.zero_point), float(self.scale)
        return (int(limits.min) - zero) * scale, (int(limits.max) - zero) * scale


def grid_of(span: Range, form: QuantizedForm) -> Grid:
    """Return the grid of `form` that spans `span`; 0 is always on it.

    Source: Jacob et al. 2018, eq. 1; symmetric grids leave -128 unused.
    """
    dtype = np.uint8 if form.activations == "uint8" else np.int8
    low, high = ends_of(span, symmetric=form.symmetric_activations)
    width = max(high - low, SMALLEST_SPAN)
    if form.symmetric_activations:
        return Grid(scale=np.float32(width / 254), zero_point=dtype(0))
    limits = np.iinfo(dtype)
    scale = np.float32(width / 255)
    zero = int(np.clip(round(limits.min - low / float(scale)), limits.min, limits.max))
    return Grid(scale=scale, zero_point=dtype(zero))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedWeight:
    """A weight in int8, zero-point 0.

    Attributes:
        integers: int8, the weight's shape, within -127..127.
        scales: float32, shape (channels,), or () for one scale in all.
        axis: the channels' axis in `integers`.
    """

    integers: npt.NDArray[np.int8]
    scales: Floats
    axis: int

    def floats(self) -> Floats:
        """Return the weight that the integers stand for."""
        shape = [1] * self.integers.ndim
        shape[self.axis] = -1
        real: Floats = self.integers * self.scales.reshape(shape)
        return real

    def shift(self, weight: Floats, mean: Doubles, *, grouped: bool) -> Doubles:
        """Return what rounding takes from each output channel on average, shape (channels,).

        Added to the bias it makes the mean output exact again.

        Args:
            weight: what was quantized.
            mean: of each input channel.
            grouped: the weight has an axis of input channels *within a group* (convolutions),
                output channels being the first axis.

        Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
        Correction", section 4.2, with means from data.
        """
        lost = weight.astype(np.float64) - self.floats().astype(np.float64)
        lost = np.moveaxis(lost, self.axis, 0).reshape(lost.shape[self.axis], -1)
        if not grouped:
            return lost @ mean
        inner = weight.shape[1]
        lost = lost.reshape(lost.shape[0], inner, -1).sum(axis=-1)
        groups = mean.size // inner
        parts = lost.reshape(groups, -1, inner) @ mean.reshape(groups, inner, 1)
        shifts: Doubles = parts.reshape(-1)
        return shifts


def quantized_weight(
    weight: Floats,
    axis: int,
    *,
    per_channel: bool,
    bits: int = 8,
    bias: Floats | None = None,
    input_scale: np.float32 | None = None,
) -> QuantizedWeight:
    """Quantize `weight` by its peaks along `axis`.

    A scale is widened where `bias / (input_scale * scale)` would leave int32; so a channel of
    zeros, whose scale would be 0, still carries its bias.

    Args:
        weight: float32.
        axis: of the output channels.
        per_channel: one scale a channel rather than one in all.
        bits: of the integers; 4 makes -7..7.
        bias: float32, shape (channels,); its int32 form must fit.
        input_scale: of the activation, together with `bias`.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peaks = np.abs(weight).max(axis=others).astype(np.float64)
    if not per_channel:
        peaks = np.full_like(peaks, peaks.max())
    largest = largest_integer(bits)
    scales = peaks / largest
    if bias is not None and input_scale is not None and bias.shape == scales.shape:
        needed = scales_needed(bias, input_scale)
        scales = np.maximum(scales, needed if per_channel else needed.max())
    scales = np.maximum(scales.astype(np.float32), _SMALLEST_SCALE)
    shape = [1] * weight.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(weight / scales.reshape(shape)), -largest, largest).astype(np.int8)
    return QuantizedWeight(
        integers=integers,
        scales=scales if per_channel else scales[:1].reshape(()),
        axis=axis,
    )


def largest_integer(bits: int) -> int:
    """Return the largest magnitude of a weight's integers; the grid is symmetric."""
    return int(2 ** (bits - 1)) - 1


def scales_needed(bias: npt.NDArray[np.floating[Any]], input_scale: np.float32) -> Doubles:
    """Return the least scale of each weight channel with which its bias fits into int32."""
    needed: Doubles = np.abs(bias.astype(np.float64)) / (float(input_scale) * _BIAS_LIMIT)
    return needed


def quantized_bias(bias: Floats, scales: Floats) -> npt.NDArray[np.int32]:
    """Return the int32 form of `bias` on the product of input and weight scales."""
    limits = np.iinfo(np.int32)
    integers = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(integers, limits.min, limits.max).astype(np.int32)
