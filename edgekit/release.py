"""A release profile: what a release must be and how it may be made (`profiles/*.toml`)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit import configuration, units
from edgekit.errors import UsageError
from edgekit.metrics import metric

_BUDGET = re.compile(
    r"^\s*(?P<metric>[a-z][a-z0-9_.]*)\s*(?P<op><=|>=)\s*(?P<number>[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)"
    r"\s*(?P<unit>[A-Za-z%/µ]*)\s*$"
)
_TASK_METRICS = ("top1", "top5", "agreement", "sqnr_db")
_CALLABLE = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(_Table):
    """One limit that a release must keep.

    Attributes:
        metric: a name of `edgekit.metrics.METRICS`.
        limit: in the metric's own unit (s, B, pt, ...).
        confidence: how sure a `pass` or a `fail` must be.
        severity: `error` decides the verdict, `warn` is only shown.
        text: as the user wrote it.
    """

    metric: str
    limit: float
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    severity: Literal["error", "warn"] = "error"
    text: str

    @classmethod
    def parse(cls, text: str, *, where: str = "--budget", **options: Any) -> Self:
        """Read a budget such as `latency.p95<=12ms` or `accuracy.drop<=0.5pt`.

        Raises:
            UsageError: it is not `METRIC<=NUMBER UNIT`, or metric, direction or unit is wrong.

        >>> Budget.parse("latency.p95<=12ms").limit
        0.012
        """
        match = _BUDGET.match(text)
        if match is None:
            raise UsageError(
                "cannot read the budget",
                where=where,
                found=repr(text),
                expected="METRIC<=NUMBER UNIT, e.g. 'latency.p95<=12ms'",
            )
        of = metric(match["metric"], where=where)
        wanted = "<=" if of.better == "lower" else ">="
        if match["op"] != wanted:
            raise UsageError(
                f"{of.name} is better when {of.better}",
                where=where,
                found=repr(match["op"]),
                expected=repr(wanted),
            )
        try:
            number = float(match["number"])
        except ValueError:
            raise UsageError(
                "not a number", where=where, found=repr(match["number"]), expected="a number"
            ) from None
        limit = number * units.factor(match["unit"], of.unit, where=f"{where}: {of.name}")
        if not math.isfinite(limit) or (of.unit not in {"pt", "dB"} and limit <= 0):
            raise UsageError(
                f"no possible limit for {of.name}",
                where=where,
                found=repr(text),
                expected="a positive number",
            )
        return cls(metric=of.name, limit=limit, text=text.replace(" ", ""), **options)


class Step(_Table):
    """One pass with its parameters."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class Preprocessing(_Table):
    """How image files become the model's input.

    Attributes:
        size: height and width after resizing, in pixels.
        crop: height and width of the centre crop taken from it; the size itself when absent.
        mean, std: per channel, of pixel values scaled to 0..1.
        layout: `NCHW` or `NHWC`.
        colour: `rgb`, `bgr` or `grey`.
    """

    size: tuple[int, int]
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["rgb", "bgr", "grey"] = "rgb"


class ReleaseProfile(_Table):
    """What a release must be and how it may be made.

    Attributes:
        name: what `--profile` takes.
        objective: the metric that decides among candidates within budgets; or a weighing of
            several, `{"latency.p50": 1.0, "size": 0.3}`: the weighted sum of logarithms of the
            ratios to the original is minimised.
        metric: how the model's answers are judged: `top1`, `top5`, `agreement`, `sqnr_db`, or
            `module:callable` with `(outputs, labels, metadata) -> value per sample`.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    steps: tuple[Step, ...]
    objective: str | dict[str, float] = "latency.p50"
    metric: str = "top1"
    metric_better: Literal["lower", "higher"] = "higher"
    budgets: tuple[Budget, ...]
    preprocessing: Preprocessing | None = None

    @field_validator("budgets", mode="before")
    @classmethod
    def _read_budgets(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return tuple(_budget(item, f"budgets[{i}]") for i, item in enumerate(value))

    @field_validator("objective")
    @classmethod
    def _check_objective(cls, value: str | dict[str, float]) -> str | dict[str, float]:
        for name in value if isinstance(value, dict) else (value,):
            metric(name, where="objective")
        return value

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, value: str) -> str:
        if value in _TASK_METRICS or _CALLABLE.match(value):
            return value
        raise UsageError(
            "unknown task metric",
            where="metric",
            found=repr(value),
            expected=f"one of {', '.join(_TASK_METRICS)}, or 'module:callable'",
        )

    @field_validator("steps", mode="before")
    @classmethod
    def _read_steps(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"name": v} if isinstance(v, str) else v for v in value)


def _budget(item: object, where: str) -> object:
    """Read a budget from text, or from a table of its text and options."""
    if isinstance(item, str):
        return Budget.parse(item, where=where)
    if isinstance(item, dict) and "metric" not in item and isinstance(item.get("text"), str):
        read = Budget.parse(item["text"], where=where)
        return {**read.model_dump(), **item, "text": read.text}
    return item


def load(name_or_path: str | Path) -> ReleaseProfile:
    """Read a release profile: a shipped one or one on `EDGEKIT_PATH` by name, others by path.

    Raises:
        UsageError: unknown name, or a wrong file; the message has file, key, found and expected.

    >>> [step.name for step in load("quantize-only").steps]
    ['simplify', 'quantize', 'layout']
    """
    return configuration.load(ReleaseProfile, name_or_path, kind="profiles")


def names() -> tuple[str, ...]:
    """Return the names that `load` takes, sorted."""
    return configuration.names("profiles")
