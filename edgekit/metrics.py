"""Every metric that a budget can name: one table."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import UsageError

Direction = Literal["lower", "higher"]
Estimator = Literal["percentile", "paired", "runs", "passes", "steady", "exact", "proportion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a figure is and how its uncertainty is found.

    Attributes:
        name: as written in budgets.
        unit: unit of the stored figure: `s`, `B`, `1/s`, `J`, `dB`, `pt` (percentage points of
            accuracy) or `` (a ratio or a share).
        better: which direction is an improvement.
        estimator: how its interval is made: from the samples of each block, from paired
            block differences, from one value a run, from passes of their own, from the steady part
            of a sustained run, exactly known, or from per-sample correctness.
        meaning: one line for people.
    """

    name: str
    unit: str
    better: Direction
    estimator: Estimator
    meaning: str


_PERCENTILES = ("p50", "p95", "p99")

METRICS: tuple[Metric, ...] = (
    Metric(
        name="latency.first",
        unit="s",
        better="lower",
        estimator="runs",
        meaning="first inference after loading",
    ),
    *(
        Metric(
            name=f"latency.{p}",
            unit="s",
            better="lower",
            estimator="percentile",
            meaning=f"{p} of one warm inference",
        )
        for p in _PERCENTILES
    ),
    Metric(
        name="latency.mean",
        unit="s",
        better="lower",
        estimator="runs",
        meaning="mean of one warm inference",
    ),
    Metric(
        name="latency.sustained",
        unit="s",
        better="lower",
        estimator="steady",
        meaning="median of one inference once the device is warm through (--sustain)",
    ),
    *(
        Metric(
            name=f"latency.{p}.ratio",
            unit="",
            better="lower",
            estimator="paired",
            meaning=f"{p} against the original, paired",
        )
        for p in (*_PERCENTILES, "mean")
    ),
    Metric(
        name="throughput",
        unit="1/s",
        better="higher",
        estimator="runs",
        meaning="samples per second, warm, one request at a time",
    ),
    Metric(
        name="memory.peak",
        unit="B",
        better="lower",
        estimator="runs",
        meaning="peak resident memory of the whole process",
    ),
    Metric(
        name="memory.weights",
        unit="B",
        better="lower",
        estimator="runs",
        meaning="resident memory added by loading the model",
    ),
    Metric(
        name="memory.arena",
        unit="B",
        better="lower",
        estimator="runs",
        meaning="resident memory added by running it",
    ),
    Metric(name="size", unit="B", better="lower", estimator="exact", meaning="model on disk"),
    Metric(
        name="size.ratio",
        unit="",
        better="lower",
        estimator="exact",
        meaning="model on disk against the original",
    ),
    Metric(name="load", unit="s", better="lower", estimator="runs", meaning="session creation"),
    Metric(
        name="energy", unit="J", better="lower", estimator="passes", meaning="energy per inference"
    ),
    Metric(
        name="accuracy",
        unit="pt",
        better="higher",
        estimator="proportion",
        meaning="task metric on the evaluation data",
    ),
    Metric(
        name="accuracy.drop",
        unit="pt",
        better="lower",
        estimator="proportion",
        meaning="task metric lost against the original, same samples",
    ),
    Metric(
        name="agreement",
        unit="pt",
        better="higher",
        estimator="proportion",
        meaning="samples answered like the original",
    ),
    Metric(
        name="sqnr_db",
        unit="dB",
        better="higher",
        estimator="exact",
        meaning="signal to quantization noise of the outputs against the original",
    ),
)

_BY_NAME = {metric.name: metric for metric in METRICS}


def metric(name: str, *, where: str = "") -> Metric:
    """Return the metric called `name`.

    Raises:
        UsageError: there is none; the message offers the nearest name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        close = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_BY_NAME)}"
        raise UsageError(f"unknown metric {name!r}", where=where, remedy=hint) from None
