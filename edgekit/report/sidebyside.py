"""Several devices' figures in one table, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.errors import printable
from edgekit.judging import Check, overall
from edgekit.measurement import Measurement
from edgekit.report import view

Column = tuple[str, Measurement | None, Sequence[Check], str]
"""Device, measurement, regressions, and the error where there is no measurement."""


def side_by_side(columns: Sequence[Column]) -> RenderableType:
    """Return one row a metric, one column a device; errors below."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    figures = []
    for device, measurement, _, _ in columns:
        table.add_column(_text(device), justify="right")
        found = view.measured_figures(measurement) if measurement is not None else ()
        figures.append({name: f"{cell.text} {cell.spread}".strip() for name, cell in found})
    names = list(dict.fromkeys(name for each in figures for name in each))
    for name in names:
        table.add_row(name, *(_text(each.get(name, view.NOTHING)) for each in figures))
    if any(checks for _, _, checks, _ in columns):
        rulings = [
            overall(tuple(checks)) if checks else view.NOTHING for _, _, checks, _ in columns
        ]
        table.add_row("slower?", *(_text(ruling) for ruling in rulings))
    errors = [_text(error) for _, _, _, error in columns if error]
    return Group(table, *errors)


def _text(text: str) -> Text:
    return Text(printable(text))
