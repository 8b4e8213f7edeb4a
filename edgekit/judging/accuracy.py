"""Accuracy: figures from the answers to the same samples, in points (hundredths)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgekit import statistics
from edgekit.judging.figure import Figure, between, exactly
from edgekit.measurement import Accuracy, Measurement

Values = npt.NDArray[np.float64]
_SETTLE = "give labelled samples with --eval DATA"
_FACTORS = tuple(1.05**power for power in range(1, 142))
"""How many times as many samples are considered: up to about a thousand."""


def drop(measurement: Measurement, confidence: float) -> Figure:
    """Bound what the task metric lost against the original on the same samples, pt.

    Positive is worse, whichever direction the metric has.
    """
    if measurement.sha256 == measurement.original_sha256:
        return exactly(0.0, "it is the original itself")
    found = _judgeable(measurement)
    if isinstance(found, Figure):
        return found
    lost = _lost(found)
    worse, better = int((lost > 0).sum()), int((lost < 0).sum())
    evidence = (
        f"{worse} answered worse and {better} better of {lost.size} samples "
        f"(no change: p = {statistics.mcnemar(worse, better):.2g}, McNemar)"
    )
    bounds = _drop_bounds(found, confidence)
    return _in_points(bounds, float(lost.mean()), confidence, evidence + _simulated(found))


def mean(measurement: Measurement, confidence: float) -> Figure:
    """Bound the candidate's task metric, pt."""
    found = _judgeable(measurement)
    if isinstance(found, Figure):
        return found
    values = np.asarray(found.values, float)
    evidence = f"{found.metric} on {values.size} samples{_simulated(found)}"
    return _in_points(_mean_bounds(found, confidence), float(values.mean()), confidence, evidence)


def agreement(measurement: Measurement, confidence: float) -> Figure:
    """Bound the share of samples answered like the original, pt."""
    found = measurement.accuracy
    if found is None or not found.values:
        return Figure(interval=None, evidence="no samples were run: give --eval DATA")
    if found.agreement is None:
        return Figure(interval=None, evidence="the outputs are not class scores")
    number = len(found.values)
    evidence = f"{number} samples, answers compared with the original's{_simulated(found)}"
    bounds = _agreement_bounds(found, confidence)
    return _in_points(bounds, found.agreement, confidence, evidence)


def sqnr(measurement: Measurement) -> Figure:
    """Return the signal to quantization noise of all outputs, dB."""
    found = measurement.accuracy
    if found is None:
        return Figure(interval=None, evidence="no samples were run: give --eval DATA")
    return exactly(found.sqnr_db, f"{len(found.values)} samples{_simulated(found)}")


def more_samples(
    name: str, limit: float, measurement: Measurement, confidence: float
) -> int | None:
    """Return how many more samples would settle a budget if they are answered like those seen.

    Args:
        name: `accuracy`, `accuracy.drop` or `agreement`.
        limit: of the budget, pt.
        measurement: one that leaves the budget inconclusive.
        confidence: of the budget.

    Returns:
        None where a thousand times as many would not.
    """
    found = measurement.accuracy
    if found is None:
        return None
    bounds = {"accuracy": _mean_bounds, "accuracy.drop": _drop_bounds}.get(name, _agreement_bounds)
    for factor in _FACTORS:
        low, high = bounds(found, confidence, factor)
        if not low <= limit / 100 <= high:
            return math.ceil(len(found.values) * (factor - 1))
    return None


def _judgeable(measurement: Measurement) -> Accuracy | Figure:
    found = measurement.accuracy
    if found is None or not found.values or len(found.values) != len(found.original_values):
        return Figure(interval=None, evidence=f"no samples were judged: {_SETTLE}")
    if not found.labelled:
        same = "" if found.agreement is None else f" (agreement {100 * found.agreement:.2f} %)"
        return Figure(interval=None, evidence=f"there were no labels{same}: {_SETTLE}")
    return found


def _lost(found: Accuracy) -> Values:
    lost: Values = np.subtract(found.original_values, found.values, dtype=float)
    return lost if found.better == "higher" else -lost


def _drop_bounds(found: Accuracy, confidence: float, factor: float = 1.0) -> tuple[float, float]:
    """Bound the mean loss, as if each answer had been seen `factor` times."""
    lost = _lost(found)
    number = round(lost.size * factor)
    if _binary(found.values) and _binary(found.original_values):
        worse, better = (round(int((lost * sign > 0).sum()) * factor) for sign in (1, -1))
        return statistics.paired_proportion_bounds(worse, better, number, confidence)
    if not lost.any():
        unseen = statistics.proportion_bounds(0, number, confidence)[1]
        return -unseen, unseen
    return _bootstrap(lost, confidence, factor)


def _mean_bounds(found: Accuracy, confidence: float, factor: float = 1.0) -> tuple[float, float]:
    values = np.asarray(found.values, float)
    if _binary(found.values):
        right, number = round(int(values.sum()) * factor), round(values.size * factor)
        return statistics.proportion_bounds(right, number, confidence)
    return _bootstrap(values, confidence, factor)


def _agreement_bounds(
    found: Accuracy, confidence: float, factor: float = 1.0
) -> tuple[float, float]:
    number = len(found.values)
    same = round((found.agreement or 0.0) * number)
    return statistics.proportion_bounds(round(same * factor), round(number * factor), confidence)


def _bootstrap(values: Values, confidence: float, factor: float) -> tuple[float, float]:
    low, high = statistics.bootstrap_mean_bounds(values, confidence)
    value, narrower = float(values.mean()), math.sqrt(factor)
    return value + (low - value) / narrower, value + (high - value) / narrower


def _binary(values: tuple[float, ...]) -> bool:
    return set(values) <= {0.0, 1.0}


def _in_points(
    bounds: tuple[float, float], value: float, confidence: float, evidence: str
) -> Figure:
    low, high = bounds
    return Figure(
        interval=between(100 * low, 100 * value, 100 * high, confidence),
        evidence=evidence,
        resolution=100 * (high - value),
    )


def _simulated(found: Accuracy) -> str:
    return ", simulated by this host's runtime" if found.simulated else ""
