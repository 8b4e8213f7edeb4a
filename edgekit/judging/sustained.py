"""The steady state of a sustained run: when it begins, and its latency with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgekit import statistics
from edgekit.judging.figure import Figure, between
from edgekit.measurement import Measurement, Sustained

LEAST_WINDOWS = 20
_BATCHES = 10
_GAIN = 1.25
"""Of the squared standard error. Less is within the chance of a run without a transient: a start
chosen there favours stretches that happen to be even, and the bounds would hold less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Where a run became steady.

    Attributes:
        start: index of the first steady window; None when the run did not become steady.
        first_s, steady_s: median latency of the first windows and of the steady ones.
    """

    start: int | None
    first_s: float
    steady_s: float


def steady(run: Sustained) -> Steady:
    """Find the steady part by the marginal standard error rule.

    The start is where the mean of all that follows is known best: earlier, the transient widens
    it; later, samples are thrown away. Where leaving out a beginning gains little, there was no
    transient. A start in the middle means that the run did not become steady.

    Source: White 1997, an effective truncation heuristic for bias reduction in simulation output.
    """
    medians = np.array([window.p50_s for window in run.windows])
    last = medians.size // 2
    errors = [medians[at:].var() / (medians.size - at) for at in range(last + 1)]
    start = int(np.argmin(errors)) if errors[0] > _GAIN * min(errors) else 0
    few = max(1, medians.size // 60)
    begun = None if start == last or medians.size < LEAST_WINDOWS else start
    return Steady(
        start=begun,
        first_s=float(medians[:few].mean()),
        steady_s=float(medians[start if begun is not None else last :].mean()),
    )


def latency(measurement: Measurement, confidence: float) -> Figure:
    """Bound the median latency of the steady part, s: a t bound over means of batches of windows.

    Neighbouring windows resemble each other, batches of many of them hardly do.
    """
    run = measurement.sustained
    if run is None:
        return Figure(interval=None, evidence="nothing was sustained: add --sustain 10m")
    if len(run.windows) < LEAST_WINDOWS:
        return Figure(
            interval=None,
            evidence=f"{len(run.windows)} windows of {run.window_s:g} s are too few to tell a "
            f"steady state: at least {LEAST_WINDOWS}",
        )
    found = steady(run)
    if found.start is None:
        return Figure(
            interval=None,
            evidence=f"not steady after {run.seconds:g} s: it still changes in the second half; "
            "sustain it longer",
        )
    medians = np.array([window.p50_s for window in run.windows[found.start :]])
    batches = [float(batch.mean()) for batch in np.array_split(medians, _BATCHES)]
    low, high = statistics.mean_bounds(batches, confidence)
    interval = between(low, found.steady_s, high, confidence)
    change = found.steady_s / found.first_s if found.first_s else math.nan
    return Figure(
        interval=interval,
        evidence=f"steady from {run.windows[found.start].at_s:.0f} s on, "
        f"{change:.2f} times the first moments",
        resolution=interval.high - interval.value,
    )
