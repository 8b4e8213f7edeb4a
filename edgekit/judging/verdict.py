"""Measurements against budgets: rulings, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgekit import statistics, units
from edgekit.judging import timing
from edgekit.judging.effort import effort_to_settle
from edgekit.judging.estimate import estimate
from edgekit.judging.figure import Figure
from edgekit.measurement import Block, Interval, Measurement
from edgekit.metrics import metric
from edgekit.release import Budget

Ruling = Literal["pass", "fail", "inconclusive"]
_UNTIMED = frozenset(("exact", "proportion"))
EXIT_CODES: dict[Ruling, int] = {"pass": 0, "fail": 1, "inconclusive": 3}

NULL_CONFIDENCE = 0.995
NULL_TOLERANCE = 0.01
"""A difference of the original from itself below 1 % does not void a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One budget held against the evidence.

    Attributes:
        interval: of the metric, in its unit; None where the evidence gives none.
        reason: one line: why the ruling is what it is and, if inconclusive, what would settle it.
        needed: how many more blocks (latency) or samples (accuracy) would settle it, if known.
    """

    budget: Budget
    interval: Interval | None
    ruling: Ruling
    reason: str
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks of one candidate.

    Attributes:
        candidate, sha256: what was judged.
        ruling: `fail` if a check of severity `error` fails, else `inconclusive` if one is, else
            `pass`; without any such check `inconclusive`.
        null_control: whether the original equals itself when measured like a candidate; `fail`
            makes every ratio check inconclusive.
        null_reason: one line about it.
        remarks: what no budget asks for and the reader must know, e.g. that it is slower.
    """

    candidate: str
    sha256: str
    checks: tuple[Check, ...]
    ruling: Ruling
    null_control: Ruling
    null_reason: str
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return EXIT_CODES[self.ruling]


def judge(measurement: Measurement, budgets: Sequence[Budget]) -> Verdict:
    """Hold a measurement against budgets. Pure: the same evidence gives the same verdict."""
    control, control_reason = null_control(measurement.null_blocks)
    checks = []
    for budget in budgets:
        figure = estimate(budget.metric, measurement, confidence=budget.confidence)
        exact = figure.resolution == 0
        if control == "fail" and metric(budget.metric).estimator == "paired" and not exact:
            figure = Figure(interval=None, evidence=f"null control failed: {control_reason}")
        ruled = check(budget, figure)
        if ruled.ruling == "inconclusive" and ruled.interval is not None:
            ruled = _advised(ruled, measurement)
        checks.append(ruled)
    return Verdict(
        candidate=measurement.candidate,
        sha256=measurement.sha256,
        checks=tuple(checks),
        ruling=overall(checks),
        null_control=control,
        null_reason=control_reason,
        remarks=_remarks(measurement, budgets),
    )


def untimed(measurement: Measurement, budgets: Sequence[Budget]) -> Ruling:
    """Rule on the budgets that need no timing: of answers and of size."""
    kept = [b for b in budgets if metric(b.metric).estimator in _UNTIMED]
    figures = (estimate(b.metric, measurement, confidence=b.confidence) for b in kept)
    return overall([check(b, figure) for b, figure in zip(kept, figures, strict=True)])


def settled(blocks: Sequence[Block], budgets: Sequence[Budget], *, batch: int = 1) -> bool:
    """Say whether sequential measuring may stop: the stop function between blocks.

    True at a look (`LOOKS` usable blocks) where every budget that rests on blocks has a ruling or
    can get none, at the first look where there is no such budget, and at the last look.
    """
    number = len(timing.usable(blocks))
    if number >= timing.LOOKS[-1]:
        return True
    if number not in timing.LOOKS:
        return False
    return all(_ruled(blocks, budget, batch) for budget in budgets)


def _ruled(blocks: Sequence[Block], budget: Budget, batch: int) -> bool:
    estimator, (_, _, statistic) = metric(budget.metric).estimator, budget.metric.partition(".")
    if estimator == "paired":
        figure = timing.ratio_of_blocks(blocks, statistic.split(".")[0], budget.confidence)
    elif estimator == "percentile":
        figure = timing.percentile_of_blocks(blocks, statistic, budget.confidence)
    elif estimator == "runs":
        figure = timing.mean_of_blocks(blocks, budget.metric, budget.confidence, batch=batch)
        if figure.interval is None and not figure.needed:
            return True
    else:
        return True
    return check(budget, figure).ruling != "inconclusive"


def check(budget: Budget, figure: Figure) -> Check:
    """Rule: pass when the whole interval keeps the limit, fail when none of it does."""
    of = metric(budget.metric)
    found = figure.interval
    if found is None:
        return Check(
            budget=budget,
            interval=None,
            ruling="inconclusive",
            reason=figure.evidence,
            needed=figure.needed,
        )
    worst, best = (found.high, found.low) if of.better == "lower" else (found.low, found.high)
    keeps = _no_worse(worst, budget.limit, lower=of.better == "lower")
    breaks = not _no_worse(best, budget.limit, lower=of.better == "lower")
    ruling: Ruling = "pass" if keeps else "fail" if breaks else "inconclusive"
    reason = f"{_span(found, of.unit)}; {figure.evidence}"
    if ruling == "inconclusive":
        reason += f"; the limit {units.show(budget.limit, of.unit)} lies inside"
    return Check(budget=budget, interval=found, ruling=ruling, reason=reason)


def overall(checks: Sequence[Check]) -> Ruling:
    """Return the ruling over the checks of severity `error`."""
    rulings = [item.ruling for item in checks if item.budget.severity == "error"]
    if "fail" in rulings:
        return "fail"
    if "inconclusive" in rulings or not rulings:
        return "inconclusive"
    return "pass"


def null_control(blocks: Sequence[Block]) -> tuple[Ruling, str]:
    """Compare the original with itself, paired like a candidate.

    Returns:
        `fail` when it differs from itself by more than chance and by more than 1 %; `pass` when a
        difference over 1 % is ruled out; else `inconclusive`, which voids nothing; and why.
    """
    counted = timing.usable(blocks)
    if len(counted) < 2:  # noqa: PLR2004  # a spread needs two
        return "inconclusive", "the original was not compared with itself"
    found = timing.differences(counted, "p50")
    low, high = statistics.mean_bounds(found, NULL_CONFIDENCE)
    value = sum(found) / len(found)
    tolerated = math.log1p(NULL_TOLERANCE)
    reason = (
        f"the original against itself is {math.exp(value):.3f}x, between {math.exp(low):.3f} "
        f"and {math.exp(high):.3f} in {len(counted)} blocks"
    )
    if (low > 0 or high < 0) and abs(value) > tolerated:
        return "fail", reason
    if max(-low, high) < tolerated:
        return "pass", reason
    return "inconclusive", reason


def _advised(ruled: Check, measurement: Measurement) -> Check:
    needed, advice = effort_to_settle(ruled.budget, measurement)
    return replace(ruled, reason=f"{ruled.reason}; {advice}", needed=needed)


def _remarks(measurement: Measurement, budgets: Sequence[Budget]) -> tuple[str, ...]:
    """Say what is worse than the original although no budget asks."""
    asked = {budget.metric for budget in budgets}
    found = []
    slower = estimate("latency.p50.ratio", measurement).interval
    if slower is not None and slower.low > 1 and not any(n.endswith(".ratio") for n in asked):
        found.append(f"slower than the original: latency.p50.ratio {_span(slower, '')}")
    worse = estimate("accuracy.drop", measurement).interval
    if worse is not None and worse.low > 0 and not asked & {"accuracy", "accuracy.drop"}:
        found.append(f"less accurate than the original: accuracy.drop {_span(worse, 'pt')}")
    if measurement.accuracy is not None and measurement.accuracy.simulated:
        found.append("accuracy is simulated: this host's runtime stood in for the device's")
    return tuple(found)


def _no_worse(value: float, limit: float, *, lower: bool) -> bool:
    return value <= limit if lower else value >= limit


def _span(found: Interval, unit: str) -> str:
    if found.low == found.high:
        return f"{units.show(found.value, unit)}{' exactly' if found.confidence == 1 else ''}"
    return (
        f"{units.show(found.value, unit)}, between {units.show(found.low, unit)} "
        f"and {units.show(found.high, unit)}"
    )
