"""Which range of a tensor the integer grid should span.

Every method is a candidate [low, high] that contains 0; its error is the mean square that the
grid would add to the data of the histogram, rounding inside the range and clipping outside. The
error of rounding inside is what makes minimum-maximum lose on long tails, and the square is what
makes clipping lose on rare large values that matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgekit.quantization.histogram import Doubles, Histogram

Method = Literal["auto", "min-max", "percentile", "entropy", "mse"]
METHODS: tuple[Method, ...] = ("auto", "min-max", "percentile", "entropy", "mse")

SMALLEST_SPAN = 2.0**-20
"""Tensors that stay nearer to 0 than this get this range: no scale is ever 0 or denormal."""
_PERCENTILES = (99.9, 99.99, 99.999)
_DEFAULT_PERCENTILE = 99.99
_SHRINK = np.linspace(1.0, 0.2, 17)
_LEVELS = 256
_KL_BINS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What the grid of one tensor spans.

    Attributes:
        low, high: low <= 0 <= high, high - low > 0.
        method: which candidate it is: `min-max`, `p99.9`, ..., `entropy`, `mse`.
        error: mean square added to the calibration data by the grid, in the tensor's unit squared.
    """

    low: float
    high: float
    method: str
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The values that any consumer tells apart: beyond, all of them see the same."""

    low: float = -math.inf
    high: float = math.inf


EVERYTHING = Reach()


def range_of(
    histogram: Histogram,
    *,
    method: Method = "auto",
    symmetric: bool = False,
    reach: Reach = EVERYTHING,
) -> Range:
    """Return the range by one method, see `ranges_of`."""
    return ranges_of(histogram, (method,), symmetric=symmetric, reach=reach)[method]


def ranges_of(
    histogram: Histogram,
    methods: Sequence[Method],
    *,
    symmetric: bool = False,
    reach: Reach = EVERYTHING,
) -> dict[Method, Range]:
    """Return the range by each method; `auto` takes the candidate with the least error.

    Args:
        histogram: of at least one sample.
        methods: `percentile` is 99.99 of the elements.
        symmetric: the grid will span [-peak, peak] whatever the data.
        reach: values outside are counted as its ends.
    """
    values, weights = histogram.points()
    values = np.clip(values, reach.low, reach.high)
    low = min(0.0, max(histogram.low, reach.low))
    high = max(0.0, min(histogram.high, reach.high))
    if high - low < SMALLEST_SPAN:
        constant = Range(low=low, high=low + SMALLEST_SPAN, method="constant", error=0.0)
        return dict.fromkeys(methods, constant)
    whole = Range(low=low, high=high, method="min-max", error=0.0)

    def judged(candidate: Range) -> Range:
        ends = ends_of(candidate, symmetric=symmetric)
        return replace(candidate, error=error_of(values, weights, *ends))

    makers: dict[Method, Callable[[], Iterator[Range]]] = {
        "min-max": lambda: iter((whole,)),
        "percentile": lambda: _percentiles(values, weights, whole, _PERCENTILES),
        "entropy": lambda: _entropy(values, weights, whole),
        "mse": lambda: _shrunk(whole),
    }
    wanted = makers if "auto" in methods else {method: makers[method] for method in methods}
    found = {method: [judged(one) for one in make()] for method, make in wanted.items()}
    best = {method: min(ranges, key=lambda one: one.error) for method, ranges in found.items()}
    if "percentile" in found:
        best["percentile"] = found["percentile"][_PERCENTILES.index(_DEFAULT_PERCENTILE)]
    if "auto" in methods:
        every = (one for ranges in found.values() for one in ranges)
        best["auto"] = min(every, key=lambda one: one.error)
    return {method: best[method] for method in methods}


def ends_of(span: Range, *, symmetric: bool) -> tuple[float, float]:
    """Return what the grid really spans: [-peak, peak] when it is symmetric."""
    if not symmetric:
        return span.low, span.high
    peak = max(-span.low, span.high)
    return -peak, peak


def error_of(values: Doubles, weights: Doubles, low: float, high: float) -> float:
    """Return the mean square error of 256 levels from `low` to `high` on weighted points."""
    scale = (high - low) / (_LEVELS - 1)
    zero = np.round(-low / scale)
    levels = np.clip(np.round(values / scale) + zero, 0, _LEVELS - 1)
    errors = (levels - zero) * scale - values
    total = float(weights.sum())
    return float(np.dot(errors * errors, weights)) / total if total else 0.0


def _shrunk(whole: Range) -> Iterator[Range]:
    """Yield a grid of ranges: both ends together, and each alone."""
    for share in _SHRINK.tolist():
        both = Range(low=whole.low * share, high=whole.high * share, method="mse", error=0.0)
        yield both
        if whole.low < 0 < whole.high and share < 1:
            yield replace(both, low=whole.low)
            yield replace(both, high=whole.high)


def _percentiles(
    values: Doubles, weights: Doubles, whole: Range, percents: tuple[float, ...]
) -> Iterator[Range]:
    order = np.argsort(values, kind="stable")
    ranked, rank = values[order], np.cumsum(weights[order])
    for percent in percents:
        tail = rank[-1] * (1 - percent / 100) / 2
        low = ranked[min(int(np.searchsorted(rank, tail, side="right")), len(ranked) - 1)]
        high = ranked[min(int(np.searchsorted(rank, rank[-1] - tail)), len(ranked) - 1)]
        low, high = max(whole.low, min(0.0, float(low))), min(whole.high, max(0.0, float(high)))
        if high - low >= SMALLEST_SPAN:
            yield Range(low=low, high=high, method=f"p{percent:g}", error=0.0)
        else:
            yield whole


def _entropy(values: Doubles, weights: Doubles, whole: Range) -> Iterator[Range]:
    """Yield the range whose 128 levels of magnitude diverge least from the data.

    Source: Migacz, "8-bit inference with TensorRT", GTC 2017; magnitudes on 2,048 equal bins.
    """
    peak = max(-whole.low, whole.high)
    magnitudes = np.abs(values)
    counts, _ = np.histogram(magnitudes, bins=_KL_BINS, range=(0.0, peak), weights=weights)
    counts[0] = 0.0
    half = _LEVELS // 2
    best, best_divergence = _KL_BINS, math.inf
    for size in range(half, _KL_BINS + 1, half):
        divergence = _divergence(counts, size, half)
        if divergence < best_divergence:
            best, best_divergence = size, divergence
    threshold = peak * best / _KL_BINS
    low, high = max(whole.low, -threshold), min(whole.high, threshold)
    yield Range(low=low, high=high, method="entropy", error=0.0)


def _divergence(counts: Doubles, size: int, levels: int) -> float:
    reference = counts[:size].copy()
    kept = reference > 0
    if not kept.any():
        return math.inf
    cells = np.arange(size) * levels // size
    mass = np.bincount(cells, weights=reference, minlength=levels)
    used = np.bincount(cells, weights=kept, minlength=levels)
    quantized = np.where(kept, (mass / np.maximum(used, 1))[cells], 0.0)
    reference[-1] += counts[size:].sum()
    both = (reference > 0) & (quantized > 0)
    lost = reference[(reference > 0) & (quantized <= 0)].sum() / reference.sum()
    p, q = reference[both] / reference.sum(), quantized[both] / quantized.sum()
    return float(np.sum(p * np.log(p / q))) + float(lost) * math.log(1e6)
