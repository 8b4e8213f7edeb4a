"""One door to every metric: its figure and interval from a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgekit.judging import accuracy, sustained, timing
from edgekit.judging.figure import Figure, exactly
from edgekit.measurement import Accuracy, Block, Measurement, Run
from edgekit.metrics import metric


def estimate(name: str, measurement: Measurement, *, confidence: float = 0.95) -> Figure:
    """Return the figure of a metric, in the metric's unit.

    Args:
        name: of `edgekit.metrics.METRICS`.
        measurement: of the candidate.
        confidence: that each bound of the interval holds.

    Raises:
        UsageError: there is no such metric.
    """
    of = metric(name)
    if of.estimator == "percentile":
        return timing.percentile(measurement, name.removeprefix("latency."), confidence)
    if of.estimator == "paired":
        return timing.ratio(measurement, name.split(".")[1], confidence)
    if of.estimator == "runs":
        return timing.of_runs(measurement, name, confidence)
    if of.estimator in _ELSEWHERE:
        return _ELSEWHERE[of.estimator](measurement, confidence)
    if of.estimator == "proportion":
        return _SHARES[name](measurement, confidence)
    return _EXACT[name](measurement)


def _size(measurement: Measurement) -> Figure:
    return exactly(measurement.size_bytes, "bytes on disk")


def _size_ratio(measurement: Measurement) -> Figure:
    return exactly(measurement.size_bytes / measurement.original_size_bytes, "bytes on disk")


_ELSEWHERE: dict[str, Callable[[Measurement, float], Figure]] = {
    "passes": timing.energy,
    "steady": sustained.latency,
}
_SHARES: dict[str, Callable[[Measurement, float], Figure]] = {
    "accuracy": accuracy.mean,
    "accuracy.drop": accuracy.drop,
    "agreement": accuracy.agreement,
}
_EXACT: dict[str, Callable[[Measurement], Figure]] = {
    "size": _size,
    "size.ratio": _size_ratio,
    "sqnr_db": accuracy.sqnr,
}


def of_original(measurement: Measurement) -> Measurement:
    """Return what the same evidence says about the original, as the candidate `original`."""
    found = measurement.accuracy
    return replace(
        measurement,
        candidate="original",
        sha256=measurement.original_sha256,
        size_bytes=measurement.original_size_bytes,
        blocks=tuple(_original_alone(block) for block in measurement.blocks),
        accuracy=None if found is None else _of_original(found),
        energy=None,
        layers=None,
        sustained=None,
    )


def _original_alone(block: Block) -> Block:
    """Let the two runs of the original stand in all four places."""
    runs = tuple(run for run in block.runs if run.role == "original")
    return replace(block, runs=(*runs, *(_as_candidate(run) for run in runs)))


def _as_candidate(run: Run) -> Run:
    return replace(run, role="candidate")


def _of_original(found: Accuracy) -> Accuracy:
    return replace(
        found,
        values=found.original_values,
        agreement=None if found.agreement is None else 1.0,
        sqnr_db=float("inf"),
    )
