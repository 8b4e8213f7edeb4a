"""A figure with its interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.measurement import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What the evidence says about one metric.

    Attributes:
        interval: in the metric's unit. `low` and `high` are one-sided bounds, each at the
            confidence c that was asked for, so the interval's own confidence is 2c - 1. None when
            the evidence does not give one.
        evidence: one line: what the interval rests on, or why there is none.
        needed: how many more blocks (latency) or samples (accuracy) an interval needs, if known.
        resolution: smallest change that this evidence could have told from none, in the
            metric's unit; for a ratio 0.02 means 2 %.
    """

    interval: Interval | None
    evidence: str
    needed: int | None = None
    resolution: float | None = None


def exactly(value: float, evidence: str) -> Figure:
    """Return a figure that is known without error."""
    return Figure(
        interval=Interval(low=value, value=value, high=value, confidence=1.0),
        evidence=evidence,
        resolution=0.0,
    )


def between(low: float, value: float, high: float, confidence: float) -> Interval:
    """Return the interval of two one-sided bounds that each hold with `confidence`.

    The point estimate is kept inside it: order statistics can lie beside an interpolated one.
    """
    return Interval(
        low=min(low, value), value=value, high=max(high, value), confidence=2 * confidence - 1
    )
