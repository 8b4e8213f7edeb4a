"""The layers by the loss that int8 causes there, why, what was done, and what it saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.candidate import StepRecord
from edgekit.errors import printable

FACT = "explained"
"""The fact of a step that holds the explanation."""

_SHOWN = 12
NOTE = (
    "Alone: signal to noise of the outputs when this layer alone is in plain int8 (min-max "
    "ranges, nothing done about it); now: alone in the form that was chosen. Less is worse."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One line: all of it text for people."""

    unit: str
    kind: str
    form: str
    alone: str
    now: str
    cause: str
    why: str
    remedy: str
    saves: str


def layers(steps: Iterable[StepRecord]) -> tuple[Layer, ...]:
    """Return the explained layers of the last step that has them, those that cost most first."""
    found: list[Mapping[str, Any]] = []
    for step in steps:
        found = step.facts.get(FACT) or found
    return tuple(_layer(one) for one in found)


def table(record: StepRecord) -> RenderableType:
    """Return the layers that cost most as a table, each cause in a line of its own."""
    found = layers((record,))
    if not found:
        return Text("nothing to explain: no layer of it can be quantized")
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "form", "alone", "now", "saves", "cause and remedy"):
        right = name in {"alone", "now", "saves"}
        shown.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for one in found[:_SHOWN]:
        shown.add_row(
            Text(printable(one.unit)),
            one.form,
            one.alone,
            one.now,
            one.saves,
            Text.assemble(
                (one.cause, "bold"),
                printable(f": {one.why}"),
                (printable(f" → {one.remedy}") if one.remedy else "", "green"),
            ),
        )
    more = len(found) - _SHOWN
    return Group(
        shown, *([Text(f"... and {more} more that cost less")] if more > 0 else []), Text(NOTE)
    )


def _layer(one: Mapping[str, Any]) -> Layer:
    saves = one.get("saves_us")
    return Layer(
        unit=str(one["unit"]),
        kind=str(one["kind"]),
        form="int8" if one["int8"] else "float",
        alone=_decibels(one.get("loss_db")),
        now=_decibels(one.get("now_db")) if one["int8"] else "-",
        cause=str(one["cause"]),
        why=str(one["why"]),
        remedy=str(one.get("remedy") or ""),
        saves="-" if saves is None else f"{saves:+.1f} µs",
    )


def _decibels(value: float | None) -> str:
    return "no loss" if value is None else f"{value:.1f} dB"
