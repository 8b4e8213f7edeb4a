"""What stretches the grid of a tensor or of a weight, so that all the rest is rounded coarsely."""

from __future__ import annotations

import math

import numpy as np

from edgekit.quantization.evidence import LEVELS, Cause, Doubles, Evidence, Seen
from edgekit.quantization.histogram import Histogram

_FAR = 6.0
"""A channel or value this many times the others stretches the grid that they share."""
_BULK = 0.999
_FEW_STEPS = 8.0
_HALF_USED = 0.6


def weight_cause(evidence: Evidence) -> Cause:
    """Say what makes rounding a weight costly: a channel that is read or written far too large."""
    weight, name = evidence.weight, evidence.unit.name
    seen = evidence.inputs[0]
    if weight is None:
        return Cause(name="8-bit rounding", why="it has no weight")
    if seen.channels is not None and (far := _outlier(np.sqrt(seen.channels.power))) is not None:
        channel, ratio = far
        why = (
            f"channel {channel} of {seen.name}, which it reads, is {ratio:.0f} times the others: "
            "its small weights meet the largest values and are rounded as coarsely as all"
        )
        return Cause(
            name="outlier channel",
            why=why,
            culprit=seen.writer,
            figures={"channel": channel, "times the median": ratio},
        )
    axis = evidence.unit.weight_axis or 0
    for reduced, where in ((axis, "writes"), (1 - axis, "reads")):
        if reduced >= weight.ndim:
            continue
        others = tuple(i for i in range(weight.ndim) if i != reduced)
        far = _outlier(np.abs(weight).max(axis=others).astype(np.float64))
        one_scale = evidence.integers is not None and evidence.integers.scales.ndim == 0
        if far is not None and (where == "reads" or one_scale):
            channel, ratio = far
            why = (
                f"its weights of channel {channel}, which it {where}, are {ratio:.0f} times others"
            )
            return Cause(
                name="outlier channel",
                why=why,
                culprit=name,
                figures={"channel": channel, "times the median": ratio},
            )
    return Cause(name="8-bit rounding", why="rounding its weight")


def tensor_cause(seen: Seen) -> Cause:
    """Say what stretches the grid of a tensor."""
    low, high = seen.histogram.low, seen.histogram.high
    peak = max(-low, high)
    if seen.channels is not None:
        by_power = _outlier(np.sqrt(seen.channels.power))
        by_peak = _outlier(seen.channels.peak)
        if by_power is not None and by_peak is not None:
            channel, ratio = by_peak
            why = (
                f"channel {channel} of {seen.name} reaches {ratio:.0f} times the others, which "
                f"are left with {LEVELS / ratio:.0f} of {LEVELS + 1} levels"
            )
            return Cause(
                name="outlier channel",
                why=why,
                culprit=seen.writer,
                figures={"channel": channel, "times the median": ratio},
            )
    bulk = _bulk(seen.histogram)
    if bulk > 0 and peak / bulk >= _FAR:
        why = (
            f"{seen.name} reaches {peak:.3g}, {peak / bulk:.0f} times what "
            f"{_BULK:.1%} of its values stay below"
        )
        figures = {"largest": peak, "times the 99.9th percentile": peak / bulk}
        return Cause(name="activation outlier", why=why, culprit=seen.writer, figures=figures)
    spread = _spread(seen.histogram) / seen.step if seen.step else math.inf
    used = (high - low) / (2 * peak) if seen.symmetric and peak else 1.0
    figures = {"steps": spread, "share of the grid": used}
    if used <= _HALF_USED:
        why = f"{seen.name} uses {used:.0%} of its symmetric grid"
        return Cause(name="narrow range", why=why, figures=figures)
    if spread < _FEW_STEPS:
        why = f"the values of {seen.name} spread over {spread:.1f} steps of its grid"
        return Cause(name="narrow range", why=why, figures=figures)
    why = f"rounding {seen.name}, whose values spread over {spread:.0f} steps of its grid"
    return Cause(name="8-bit rounding", why=why, figures=figures)


def _outlier(sizes: Doubles) -> tuple[int, float] | None:
    """Return (channel, times the median) of one that is far larger than the others."""
    if sizes.size < 3:  # noqa: PLR2004  # of two, either might be the odd one
        return None
    median = float(np.median(sizes))
    channel = int(np.argmax(sizes))
    ratio = float(sizes[channel]) / median if median else math.inf
    return (channel, ratio) if _FAR <= ratio < math.inf else None


def _bulk(histogram: Histogram) -> float:
    """Return the magnitude that all but a thousandth of the values stay below."""
    values, weights = histogram.points()
    sizes = np.abs(values)
    order = np.argsort(sizes, kind="stable")
    rank = np.cumsum(weights[order])
    if not rank.size:
        return 0.0
    return float(sizes[order][min(int(np.searchsorted(rank, _BULK * rank[-1])), rank.size - 1)])


def _spread(histogram: Histogram) -> float:
    """Return the standard deviation of the values."""
    values, weights = histogram.points()
    total = float(weights.sum())
    if not total:
        return 0.0
    mean = float(np.dot(values, weights)) / total
    return math.sqrt(max(0.0, float(np.dot((values - mean) ** 2, weights)) / total))
