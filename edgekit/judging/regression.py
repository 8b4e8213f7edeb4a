"""Regressions: is the new model slower than the one it was paired with?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit import statistics
from edgekit.judging import timing
from edgekit.judging.figure import Figure, exactly
from edgekit.judging.verdict import Check, check, null_control
from edgekit.measurement import Measurement
from edgekit.release import Budget

PAIRED = ("latency.p50.ratio",)
"""What is compared by default: the median settles within 30 blocks, tails seldom do."""


def regression_budgets(
    *, delta: float = statistics.DELTA, alpha: float = 0.01, metrics: Sequence[str] = PAIRED
) -> tuple[Budget, ...]:
    """Return "not slower than the baseline by more than `delta`" as budgets.

    `settled(blocks, regression_budgets())` is the stop function of a paired comparison.
    """
    return tuple(
        Budget(
            metric=name,
            limit=1 + delta,
            confidence=1 - alpha,
            text=f"{name}<={1 + delta:g}",
        )
        for name in metrics
    )


def regression(
    measurement: Measurement,
    *,
    delta: float = statistics.DELTA,
    alpha: float = 0.01,
    metrics: Sequence[str] = PAIRED,
) -> tuple[Check, ...]:
    """Rule whether the candidate is slower than what it was paired with by more than `delta`.

    With d_i = log(candidate / baseline) of each block: `fail` iff the lower t bound of the mean
    lies above log(1 + delta), `pass` iff the upper one lies below, else `inconclusive`. The error
    `alpha` covers all looks. Several metrics: a `fail` must hold after Holm's correction, so that
    one false alarm among all of them is no likelier than `alpha`; a `pass` of all needs none. Where
    the baseline does not equal itself (null control), nothing is ruled.

    Returns:
        one check a metric, in order; `budget.limit` is 1 + delta.
    """
    return regressions((measurement,), delta=delta, alpha=alpha, metrics=metrics)[0]


def regressions(
    measurements: Sequence[Measurement],
    *,
    delta: float = statistics.DELTA,
    alpha: float = 0.01,
    metrics: Sequence[str] = PAIRED,
) -> tuple[tuple[Check, ...], ...]:
    """Rule as `regression` does on several devices at once.

    Holm's correction then spans metrics and devices: one false alarm in the whole fleet is no
    likelier than `alpha`.

    Args:
        measurements: of the same candidate and baseline, one a device.
        delta: the slowdown that is allowed.
        alpha: error over all looks.
        metrics: those compared.

    Returns:
        the checks of each measurement, in order.
    """
    budgets = regression_budgets(delta=delta, alpha=alpha, metrics=metrics)
    counted = [timing.usable(measurement.blocks) for measurement in measurements]
    p_values = [
        _p_value(timing.differences(blocks, _statistic(budget)), budget)
        for blocks in counted
        for budget in budgets
    ]
    adjusted = iter(_holm(p_values))
    least = 1 - statistics.look_confidence(1 - alpha)
    return tuple(
        tuple(
            _ruled(measurement, budget, alpha, holds=next(adjusted) <= least, number=len(p_values))
            for budget in budgets
        )
        for measurement in measurements
    )


def _ruled(
    measurement: Measurement, budget: Budget, alpha: float, *, holds: bool, number: int
) -> Check:
    blocks = timing.usable(measurement.blocks)
    if not blocks and measurement.sha256 == measurement.original_sha256:
        return check(budget, exactly(1.0, "both are the same file"))
    control, why = null_control(measurement.null_blocks)
    if control == "fail":
        return check(budget, Figure(interval=None, evidence=f"null control failed: {why}"))
    figure = timing.ratio_of_blocks(measurement.blocks, _statistic(budget), 1 - alpha)
    if figure.interval is not None:
        found = timing.differences(blocks, _statistic(budget))
        seen = _seen(found, budget.limit, alpha)
        figure = replace(figure, evidence=f"{figure.evidence}; {seen}")
    return _confirmed(check(budget, figure), holds=holds, number=number)


def _seen(differences: Sequence[float], limit: float, alpha: float) -> str:
    """Say what slowdown this many blocks would have called a regression in 9 of 10 cases."""
    confidence = statistics.look_confidence(1 - alpha)
    ratio = statistics.smallest_detectable(differences, limit=limit, confidence=confidence)
    return f"a slowdown of {100 * (ratio - 1):.1f} % would have failed in 9 of 10 cases"


def _confirmed(found: Check, *, holds: bool, number: int) -> Check:
    if found.ruling != "fail" or holds:
        return found
    reason = f"{found.reason}; too weak an alarm among {number} comparisons (Holm)"
    return replace(found, ruling="inconclusive", reason=reason)


def _p_value(differences: Sequence[float], budget: Budget) -> float:
    """Return the one-sided p value of "the ratio is at most the limit"."""
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    if len(differences) < timing.LOOKS[0]:
        return 1.0
    excess = float(np.mean(differences)) - math.log(budget.limit)
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    return float(stats.t.sf(excess / error, len(differences) - 1))


def _holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p values, in the order given."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, p_values[index] * (len(p_values) - rank))
        adjusted[index] = min(1.0, largest)
    return tuple(adjusted)


def _statistic(budget: Budget) -> str:
    return budget.metric.split(".")[1]
