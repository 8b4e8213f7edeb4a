"""The layers by the loss that int8 causes there, why, what was done, and what it saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgekit.candidate import StepRecord
from edgekit.errors import printable

FACT = "explained"
"""The fact of a step that holds the explanation: by layer, the one that costs most first."""

NOTHING = "-"
_SHOWN = 10
NOTE = (
    "Alone: signal to noise of the outputs when this layer alone is in plain int8 (min-max "
    "ranges, nothing done about it); now: alone in the form that was chosen. Less is worse. Prices "
    "are of one layer within the whole, screened, not judged."
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
    price: str


def layers(steps: Iterable[StepRecord]) -> tuple[Layer, ...]:
    """Return the explained layers of the last step that has them, those that cost most first."""
    found: Mapping[str, Mapping[str, Any]] = {}
    for step in steps:
        found = step.facts.get(FACT) or found
    return tuple(_layer(unit, one) for unit, one in found.items())


def listing(record: StepRecord) -> RenderableType:
    """Return the layers that cost most, two lines each: figures, then cause and remedy."""
    found = layers((record,))
    if not found:
        return Text("nothing to explain: no layer of it can be quantized")
    lines: list[Text] = []
    for place, one in enumerate(found[:_SHOWN], start=1):
        figures = f"{one.form}, alone {one.alone}"
        figures += f", now {one.now}" if one.now != NOTHING else ""
        figures += f", int8 {one.price}" if one.price else ""
        lines.append(Text.assemble(f"{place:2}  ", (printable(one.unit), "bold"), f"  {figures}"))
        done = f"; {one.remedy}" if one.remedy else ""
        lines.append(
            Text.assemble("    ", (one.cause, "yellow"), printable(f": {one.why}"), printable(done))
        )
    more = len(found) - _SHOWN
    if more > 0:
        lines.append(Text(f"and {more} more that cost less", style="dim"))
    return Group(Text("Layers by what int8 costs there"), *lines, Text(NOTE, style="dim"))


def _layer(unit: str, one: Mapping[str, Any]) -> Layer:
    return Layer(
        unit=unit,
        kind=str(one["kind"]),
        form="int8" if one["int8"] else "float",
        alone=_decibels(one.get("loss_db")),
        now=_decibels(one.get("now_db")) if one["int8"] else NOTHING,
        cause=str(one["cause"]),
        why=str(one["why"]),
        remedy=str(one.get("remedy") or ""),
        price=_price(one.get("saves_us")),
    )


def _price(saves_us: float | None) -> str:
    """Say what int8 is worth in time; empty where that was not measured."""
    if saves_us is None:
        return ""
    return f"{'saves' if saves_us >= 0 else 'costs'} {abs(saves_us):.1f} µs"


def _decibels(value: float | None) -> str:
    return "no loss" if value is None else f"{value:.1f} dB"
