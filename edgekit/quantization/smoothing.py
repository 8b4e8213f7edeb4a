"""Moves what is hard to quantize from activations into weights, as far as it pays.

A channel that is an outlier makes the grid of the whole activation coarse; the weights behind it
have a grid for each output, so they take the factor more easily.

Source: Xiao et al. 2023, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
Language Models", eq. 4, there for LayerNorm and linear layers with one alpha for a model; here for
whatever lets factors through, with the alpha of least error for each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.quantization.extremes import Channels, Extremes
from edgekit.quantization.grid import largest_integer
from edgekit.quantization.scaling import Scalable, weight_at

Doubles = npt.NDArray[np.float64]
_ALPHAS = tuple(np.linspace(0.1, 1.0, 19).tolist())
_LIMIT = 1e4
_LEVELS = 255
_WORTH = 0.9


def smoothed(
    nodes: Mapping[str, ir.Node], scalable: Scalable, seen: Extremes, *, bits: int, symmetric: bool
) -> Doubles | None:
    """Return the factors with the least error of the layers behind; None to leave it as it is.

    Args:
        nodes: of the graph, by first output.
        scalable: one of `homogeneity.scalables`.
        seen: of the tensors that weights read.
        bits: of weights.
        symmetric: grids of activations are symmetric.

    Returns:
        to divide by, shape (channels,).
    """
    readers = []
    for end in scalable.readers:
        channels = seen.of(end.reads)
        if channels is None:
            return None
        readers.append((end.columns(weight_at(nodes, end)), channels))

    def error(scales: Doubles) -> float:
        return sum(
            _noise(weight, channels, scales, bits=bits, symmetric=symmetric)
            for weight, channels in readers
        )

    peaks = np.max([channels.peak for _, channels in readers], axis=0)
    columns = np.max([np.abs(weight).max(axis=(1, 3)).reshape(-1) for weight, _ in readers], axis=0)
    alive = (peaks > 0) & (columns > 0)
    if not alive.any():
        return None
    best, least = None, error(np.ones(scalable.channels)) * _WORTH
    for alpha in _ALPHAS:
        scales = np.ones(scalable.channels)
        logs = alpha * np.log(peaks[alive]) - (1 - alpha) * np.log(columns[alive])
        scales[alive] = np.clip(np.exp(logs - logs.mean()), 1 / _LIMIT, _LIMIT)
        found = error(scales)
        if found < least:
            best, least = scales, found
    return best


def _noise(
    weight: Doubles, channels: Channels, scales: Doubles, *, bits: int, symmetric: bool
) -> float:
    """Return the noise of a layer's output over its power, foretold from uniform rounding errors.

    Args:
        weight: shape (groups, rows, columns, taps).
        channels: of what it reads.
        scales: that the channels are divided by.
        bits: of the weight.
        symmetric: the activation's grid is.
    """
    groups, _, columns, taps = weight.shape
    factor = scales.reshape(groups, 1, columns, 1)
    over = channels.over(scales)
    power = over.power.reshape(groups, 1, columns)
    energy = (weight**2).sum(axis=3)
    low, high = min(0.0, float(over.low.min())), max(0.0, float(over.high.max()))
    width = 2 * max(-low, high) if symmetric else high - low
    of_activations = (width / _LEVELS) ** 2 * float((energy * factor[..., 0] ** 2).sum())
    steps = (np.abs(weight) * factor).max(axis=(2, 3)) / largest_integer(bits)
    of_weights = taps * float((steps**2 * power.sum(axis=2)).sum())
    signal = float((energy * channels.power.reshape(groups, 1, columns)).sum())
    return float(of_activations + of_weights) / (12 * max(signal, 1e-300))
