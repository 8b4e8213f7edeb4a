"""Regressions: is the new model slower than the one it was paired with?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit import statistics
from edgekit.judging import timing
from edgekit.judging.figure import exactly
from edgekit.judging.verdict import Check, check
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
    one false alarm among all of them is no likelier than `alpha`; a `pass` of all needs none.

    Returns:
        one check a metric, in order; `budget.limit` is 1 + delta.
    """
    blocks = timing.usable(measurement.blocks)
    budgets = regression_budgets(delta=delta, alpha=alpha, metrics=metrics)
    if not blocks and measurement.sha256 == measurement.original_sha256:
        same = exactly(1.0, "both are the same file")
        return tuple(check(budget, same) for budget in budgets)
    least = 1 - statistics.look_confidence(1 - alpha)
    adjusted = _holm([_p_value(timing.differences(blocks, _statistic(b)), b) for b in budgets])
    return tuple(
        _confirmed(
            check(budget, timing.ratio_of_blocks(blocks, _statistic(budget), 1 - alpha)),
            holds=p_value <= least,
            number=len(budgets),
        )
        for budget, p_value in zip(budgets, adjusted, strict=True)
    )


def _confirmed(found: Check, *, holds: bool, number: int) -> Check:
    if found.ruling != "fail" or holds:
        return found
    reason = f"{found.reason}; too weak an alarm among {number} metrics (Holm)"
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
