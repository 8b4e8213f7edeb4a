"""What a layer reads and writes at some of its positions, as rows of a matrix.

A position is one application of the weights: a place of the output of a convolution in one sample,
a row of the data of a matrix product. Positions are numbered as the output without its channels is.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.layerwise.layers import Layer, Window

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]


def reads(layer: Layer, data: tuple[int, ...]) -> int:
    """Return how many positions a layer has that reads data of this shape."""
    if layer.window is None:
        return math.prod(data[:-1])
    return data[0] * math.prod(_places(data[2:], layer.window))


def some_positions(name: str, batch: int, count: int, wanted: int) -> Positions:
    """Return at most `wanted` of `count` positions, the same ones for the same name and batch."""
    if count <= wanted:
        return np.arange(count)
    generator = np.random.default_rng([zlib.crc32(name.encode()), batch])
    return np.sort(generator.choice(count, wanted, replace=False, shuffle=False))


def read_at(layer: Layer, data: Array, positions: Positions) -> Array:
    """Return what the layer reads, shape (groups, positions, inputs of one group * kernel).

    The columns are in the order of the columns of `layer.matrix`.

    Args:
        layer: what reads.
        data: all of the activation that it reads, in one batch.
        positions: of its output.
    """
    if layer.window is None:
        return data.reshape(-1, data.shape[-1])[positions][None]
    patches = _patches(data, layer.window, positions)
    rows = patches.reshape(len(positions), layer.groups, -1)
    return np.ascontiguousarray(rows.transpose(1, 0, 2))


def written_at(layer: Layer, output: Array, positions: Positions) -> Array:
    """Return what the layer writes, shape (positions, outputs)."""
    if layer.window is None:
        return output.reshape(-1, output.shape[-1])[positions]
    batch, *places = np.unravel_index(positions, (output.shape[0], *output.shape[2:]))
    index: tuple[Any, ...] = (batch, slice(None), *places)
    rows: Array = output[index]
    return rows


def _patches(data: Array, window: Window, positions: Positions) -> Array:
    """Return the patches under a sliding window, shape (positions, channels, kernel...)."""
    sizes = data.shape[2:]
    padded = np.pad(data, ((0, 0), (0, 0), *_pads(sizes, window)))
    axes = tuple(range(2, data.ndim))
    slides = np.lib.stride_tricks.sliding_window_view(padded, _extents(window), axes)
    places = (slice(None, None, stride) for stride in window.strides)
    inside = (slice(None, None, dilation) for dilation in window.dilations)
    slides = slides[(slice(None), slice(None), *places, *inside)]
    batch, *at = np.unravel_index(positions, (data.shape[0], *_places(sizes, window)))
    index: tuple[Any, ...] = (batch, slice(None), *at)
    patches: Array = slides[index]
    return patches


def _extents(window: Window) -> tuple[int, ...]:
    """Return how far the kernel reaches on each axis, dilation included."""
    pairs = zip(window.kernel, window.dilations, strict=True)
    return tuple(dilation * (size - 1) + 1 for size, dilation in pairs)


def _places(sizes: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """Return the output's size on each axis."""
    axes = zip(sizes, _pads(sizes, window), _extents(window), window.strides, strict=True)
    return tuple(
        (size + before + after - extent) // stride + 1
        for size, (before, after), extent, stride in axes
    )


def _pads(sizes: tuple[int, ...], window: Window) -> tuple[tuple[int, int], ...]:
    """Return the padding; `SAME_*` makes ceil(size / stride) outputs an axis."""
    if window.pads is not None:
        return window.pads
    pads = []
    for size, extent, stride in zip(sizes, _extents(window), window.strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if window.auto_pad == "SAME_UPPER" else (more, less))
    return tuple(pads)
