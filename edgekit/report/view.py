"""What every report shows, as text for people: computed once, laid out by each renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit import units
from edgekit.candidate import Candidate
from edgekit.judging import Check, Ruling, Verdict, estimate, of_original
from edgekit.measurement import Interval, Measurement
from edgekit.metrics import metric
from edgekit.result import Result

SHARES = ("top1", "top5", "agreement")
"""Task metrics whose mean is a share of samples, shown in percent."""
NOTHING = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure as text, with its interval where it has one.

    Attributes:
        spread: e.g. `1.20 to 1.26 ms`; empty where the figure is exact or missing.
        interval: in the metric's unit, for bars; None where there is none.
    """

    text: str
    spread: str = ""
    interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate in the table."""

    name: str
    chosen: bool
    p50: Cell
    p95: Cell
    ratio: Cell
    memory: Cell
    size: Cell
    size_ratio: Cell
    accuracy: Cell
    drop: Cell
    ruling: Ruling | None


def rows(result: Result) -> tuple[Row, ...]:
    """Return the table of candidates, the original first."""
    return tuple(_row(result, candidate) for candidate in result.candidates)


def measured_figures(measurement: Measurement) -> tuple[tuple[str, Cell], ...]:
    """Return every figure that a measurement gives, by metric name."""
    names = (
        "latency.p50",
        "latency.p95",
        "latency.p99",
        "latency.mean",
        "latency.first",
        "latency.sustained",
        "throughput",
        "load",
        "memory.peak",
        "memory.weights",
        "memory.arena",
        "energy",
        "size",
        "accuracy",
        "agreement",
    )
    cells = ((name, cell(name, measurement)) for name in names)
    return tuple((name, found) for name, found in cells if found.interval is not None)


def cell(name: str, measurement: Measurement | None) -> Cell:
    """Return the figure of a metric as text."""
    if measurement is None:
        return Cell(text=NOTHING)
    found = estimate(name, measurement).interval
    if found is None:
        return Cell(text=NOTHING)
    if name == "accuracy" and measurement.accuracy is not None:
        share = measurement.accuracy.metric in SHARES
        return _cell(
            found, lambda value: units.percent(value / 100) if share else _per_sample(value)
        )
    unit = metric(name).unit
    return _cell(found, lambda value: units.show(value, unit))


def headline(result: Result) -> str:
    """Say the verdict in one sentence."""
    words = {
        "pass": "keeps every budget",
        "fail": "breaks a budget",
        "inconclusive": "could not be judged fully",
    }
    what = "The original" if result.chosen == "original" else f"Candidate {result.chosen!r}"
    return f"{what} {words[result.ruling]}."


def gains(result: Result) -> tuple[tuple[str, str], ...]:
    """Return what the chosen candidate gains and loses, as (figure, what it means)."""
    measurement = result.measurement_of(result.chosen)
    chosen = result.chosen_candidate
    if measurement is None or chosen.sha256 == result.original_sha256:
        return ()
    found = []
    ratio = estimate("latency.p50.ratio", measurement).interval
    if ratio is not None:
        found.append(
            (
                f"{1 / ratio.value:.2f}x",
                f"as fast at the median ({1 / ratio.high:.2f} to {1 / ratio.low:.2f})",
            )
        )
    before, after = measurement.original_size_bytes, measurement.size_bytes
    found.append(
        (
            f"{after / before:.0%}",
            f"of the size: {units.show(after, 'B')} instead of {units.show(before, 'B')}",
        )
    )
    drop = estimate("accuracy.drop", measurement).interval
    if drop is not None:
        of = measurement.accuracy.metric if measurement.accuracy else "accuracy"
        worst = units.show(max(drop.high, 0.0), "pt")
        meaning = f"lost in {of}; at most {worst}"
        if drop.value < 0:
            meaning = f"gained in {of}; lost at most {worst}"
        found.append((units.show(abs(drop.value), "pt"), meaning))
    return tuple(found)


def checks_in_order(verdict: Verdict) -> tuple[Check, ...]:
    """Return the checks, what fails first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    return tuple(sorted(verdict.checks, key=lambda item: order[item.ruling]))


def _row(result: Result, candidate: Candidate) -> Row:
    measurement = _measurement(result, candidate)
    verdict = result.verdict_of(candidate.name)
    original = candidate.sha256 == result.original_sha256

    def figure(name: str) -> Cell:
        return cell(name, measurement)

    return Row(
        name=candidate.name,
        chosen=candidate.name == result.chosen,
        p50=figure("latency.p50"),
        p95=figure("latency.p95"),
        ratio=Cell(text=NOTHING) if original else figure("latency.p50.ratio"),
        memory=figure("memory.peak"),
        size=Cell(text=units.show(candidate.size_bytes, "B")),
        size_ratio=Cell(text=NOTHING) if original else figure("size.ratio"),
        accuracy=figure("accuracy"),
        drop=Cell(text=NOTHING) if original else figure("accuracy.drop"),
        ruling=None if verdict is None else verdict.ruling,
    )


def _measurement(result: Result, candidate: Candidate) -> Measurement | None:
    """Return a candidate's measurement; the original's figures lie in every other one, too."""
    found = result.measurement_of(candidate.name)
    if found is None and candidate.sha256 == result.original_sha256 and result.measurements:
        return of_original(result.measurements[-1])
    return found


def _cell(found: Interval, show: Callable[[float], str]) -> Cell:
    low, high = show(found.low), show(found.high)
    return Cell(
        text=show(found.value),
        spread="" if low == high else _spread(low, high),
        interval=found,
    )


def _spread(low: str, high: str) -> str:
    """Name a common unit once: `1.20 to 1.26 ms`."""
    if low.endswith("x") and high.endswith("x"):
        return f"{low[:-1]} to {high}"
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if unit and high.endswith(f" {unit}") else f"{low} to {high}"


def _per_sample(value: float) -> str:
    """A metric of the user's own, in its own unit (the stored figure is in hundredths)."""
    return f"{value / 100:.4f}"
