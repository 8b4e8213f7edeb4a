"""Which candidate is shipped, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit import units
from edgekit.judging import timing
from edgekit.judging.estimate import estimate, of_original
from edgekit.judging.verdict import Check, Verdict
from edgekit.measurement import Measurement
from edgekit.metrics import metric

ORIGINAL = "original"
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The candidate to ship and the reason in one line."""

    candidate: str
    reason: str


def choose(
    measurements: Sequence[Measurement],
    verdicts: Sequence[Verdict],
    objective: str | dict[str, float],
) -> Choice:
    """Choose the best candidate that may be shipped; the original when none may.

    A candidate whose verdict passes comes first. Where none does, one whose verdict is
    inconclusive comes next, but only if what is missing is evidence and not speed: it could not be
    timed well enough, or it is proved faster than the original. Among equals the objective
    decides; one that it rates no better than the original is never chosen, but for `accuracy`,
    where any quantized model loses a little and the budgets say how much it may.

    Args:
        measurements: of each candidate, in the order they were made; the original may be missing.
        verdicts: of the same candidates, in any order.
        objective: a metric to optimise, or weights of logarithms of ratios to the original, whose
            sum is minimised.
    """
    verdict_of = {verdict.candidate: verdict for verdict in verdicts}
    rivals = [item for item in measurements if item.sha256 != item.original_sha256]
    if not rivals:
        return Choice(candidate=ORIGINAL, reason="no step changed the model")
    passing = [item for item in rivals if verdict_of[item.candidate].ruling == "pass"]
    if passing:
        chosen = _best(passing, objective)
        if chosen is None:
            return Choice(
                candidate=ORIGINAL,
                reason=f"no candidate within its budgets betters the original in "
                f"{_name(objective)}",
            )
        others = f" of {len(passing)} that keep their budgets" if len(passing) > 1 else ""
        return Choice(
            candidate=chosen.candidate,
            reason=f"keeps every budget; best{others} in {_name(objective)}{_shown(chosen)}",
        )
    open_ones = [
        item
        for item in rivals
        if verdict_of[item.candidate].ruling == "inconclusive" and _may_be_offered(item)
    ]
    chosen = _best(open_ones, objective)
    if chosen is not None:
        return Choice(
            candidate=chosen.candidate,
            reason=f"no budget is broken, but not every one is settled; best in "
            f"{_name(objective) if timing.usable(chosen.blocks) else 'size (nothing was timed)'}"
            f"{_shown(chosen)}",
        )
    return Choice(candidate=ORIGINAL, reason=_why_none(rivals, verdict_of, objective))


def score(measurement: Measurement, objective: str | dict[str, float]) -> float | None:
    """Return the objective of a candidate against the original; below 0 is better.

    The weighted sum of log(candidate / original), with the sign turned for metrics that are better
    when higher; None where a figure is missing.
    """
    weights = objective if isinstance(objective, dict) else {objective: 1.0}
    parts = [_log_ratio(measurement, name) for name in weights]
    if any(part is None for part in parts):
        return None
    return sum(
        weight * part
        for weight, part in zip(weights.values(), parts, strict=True)
        if part is not None
    )


def _log_ratio(measurement: Measurement, name: str) -> float | None:
    of = metric(name)
    if of.name.startswith("latency.") and f"{name}.ratio" in timing.PAIRED_RATIOS:
        name = f"{name}.ratio"
    if metric(name).estimator == "paired":
        found = timing.differences(timing.usable(measurement.blocks), name.split(".")[1])
        return sum(found) / len(found) if found else None
    if name in {"size", "size.ratio"}:
        return math.log(measurement.size_bytes / measurement.original_size_bytes)
    if name == "accuracy.drop":
        found_drop = estimate(name, measurement).interval
        return None if found_drop is None else found_drop.value / 100
    mine = estimate(name, measurement).interval
    originals = estimate(name, of_original(measurement)).interval
    if mine is None or originals is None:
        return None
    sign = 1 if of.better == "lower" else -1
    return sign * math.log(max(mine.value, _TINY) / max(originals.value, _TINY))


def _best(items: Sequence[Measurement], objective: str | dict[str, float]) -> Measurement | None:
    """Return the best by the objective, by the file's size where it cannot be told."""
    if not items:
        return None
    scores = [score(item, objective) for item in items]
    if any(value is None for value in scores):
        scores = [score(item, "size") for item in items]
        objective = "size"
    value, index = min((value, index) for index, value in enumerate(scores) if value is not None)
    if value >= 0 and objective not in {"accuracy", "accuracy.drop"}:
        return None
    return items[index]


def _may_be_offered(measurement: Measurement) -> bool:
    """Say whether nothing speaks against it: there is no ratio, or it is proved faster."""
    found = estimate("latency.p50.ratio", measurement).interval
    return found is None or found.high < 1


def _why_none(
    rivals: Sequence[Measurement], verdict_of: dict[str, Verdict], objective: str | dict[str, float]
) -> str:
    told = []
    near: list[Measurement] = []
    for item in rivals:
        failed = _failed(verdict_of[item.candidate])
        broken = [check.budget.text for check in failed]
        if failed and all(_is_better(check) for check in failed):
            near.append(item)
        told.append(
            f"{item.candidate} breaks {' and '.join(broken)}"
            if broken
            else f"{item.candidate} is not proved better"
        )
    reason = f"the original is kept: {'; '.join(told)}"
    nearest = _best(near, objective)
    if nearest is None:
        return reason
    options = " ".join(map(_loosened, _failed(verdict_of[nearest.candidate])))
    return f"{reason}. {nearest.candidate} comes nearest: {options} would let it through"


def _failed(verdict: Verdict) -> list[Check]:
    return [
        check
        for check in verdict.checks
        if check.ruling == "fail" and check.budget.severity == "error"
    ]


def _is_better(check: Check) -> bool:
    """Say whether what a broken budget limits is a ratio that is proved better than the original's.

    A lower one is: a budget on answers is never one to loosen.
    """
    ratio = check.budget.metric.endswith(".ratio")
    return ratio and check.interval is not None and check.interval.high < 1


def _loosened(check: Check) -> str:
    """Return the option that sets a limit which what was measured keeps."""
    high = check.interval.high if check.interval is not None else 1.0
    limit = min(1.0, math.ceil(100 * high + 1) / 100)
    return f"--budget '{check.budget.metric}<={limit:g}'"


def _name(objective: str | dict[str, float]) -> str:
    if isinstance(objective, str):
        return objective
    return " + ".join(f"{weight:g} log {name}" for name, weight in objective.items())


def _shown(measurement: Measurement) -> str:
    told = []
    ratio = timing.differences(timing.usable(measurement.blocks), "p50")
    if ratio:
        told.append(f"{units.show(math.exp(sum(ratio) / len(ratio)), '')} the original's p50")
    size = measurement.size_bytes / measurement.original_size_bytes
    told.append(f"{units.show(size, '')} its size")
    return f" ({', '.join(told)})"
