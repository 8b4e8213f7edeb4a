"""What it would take to settle an inconclusive check, in words and in numbers."""

from __future__ import annotations

import math

from edgekit import units
from edgekit.judging import accuracy, timing
from edgekit.judging.estimate import estimate
from edgekit.measurement import Interval, Measurement
from edgekit.metrics import metric
from edgekit.release import Budget

_ELSEWHERE = {
    "latency.sustained": "sustaining it longer narrows the interval",
    "energy": "it is too close to the limit for the scatter of the passes",
}
"""What does not rest on blocks."""


def effort_to_settle(budget: Budget, measurement: Measurement) -> tuple[int | None, str]:
    """Say how many more blocks or samples would settle a budget whose limit lies in the interval.

    It extrapolates: the same point estimate and the same spread, an interval that shrinks with the
    root of the number of blocks (samples: with the exact bound at the same shares).

    Returns:
        the number, None where no effort promises a ruling; and one line.
    """
    of = metric(budget.metric)
    figure = estimate(budget.metric, measurement, confidence=budget.confidence)
    found = figure.interval
    if found is None:
        return figure.needed, figure.evidence
    if of.estimator == "proportion":
        more = accuracy.more_samples(of.name, budget.limit, measurement, budget.confidence)
        if more is None:
            return None, "it is at the limit itself: no number of samples promises a ruling"
        return more, f"about {more} more samples would settle it"
    if of.name in _ELSEWHERE:
        return None, _ELSEWHERE[of.name]
    seen = timing.usable(measurement.blocks)
    can_see = (
        f"the smallest change that {len(seen)} blocks can show is "
        f"{_change(found, figure.resolution or 0.0, of.unit)}"
    )
    wanted = len(seen) * _shrinkage(found, budget.limit, relative=of.estimator != "runs") ** 2
    if not math.isfinite(wanted) or wanted > timing.LOOKS[-1]:
        return None, f"{can_see}: it is too close to the limit for {timing.LOOKS[-1]} blocks"
    target = next(look for look in timing.LOOKS if look >= wanted)
    more = max(1, target - len(seen))
    return more, f"{can_see}; about {more} more blocks would settle it"


def _shrinkage(found: Interval, limit: float, *, relative: bool) -> float:
    """Return how many times narrower the interval must be to clear the limit."""
    low, value, high = found.low, found.value, found.high
    if relative:
        low, value, high, limit = (math.log(max(x, 1e-300)) for x in (low, value, high, limit))
    gap = limit - value
    if gap == 0:
        return math.inf
    return (high - value) / gap if gap > 0 else (value - low) / -gap


def _change(found: Interval, resolution: float, unit: str) -> str:
    if unit:
        return units.show(resolution, unit)
    return f"{100 * resolution:.1f} %" if found.value else "unknown"
