"""HTML: one self-contained page without script, for people and for CI's artifact viewers."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgekit import units
from edgekit.measurement import Interval
from edgekit.report import explained, story, view
from edgekit.report.bars import Bar, allowed_range, bars
from edgekit.report.view import Cell, Row
from edgekit.result import Result

_SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_ENVIRONMENT = Environment(
    loader=PackageLoader("edgekit.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(result: Result) -> str:
    """Return the report as one HTML page; every name and string of the model is escaped."""
    rows = view.rows(result)
    verdict = result.verdict_of(result.chosen)
    return _ENVIRONMENT.get_template("report.html").render(
        result=result,
        headline=view.headline(result),
        symbols=_SYMBOLS,
        gains=view.gains(result),
        rows=rows,
        pictures=[
            (title, picture)
            for title, picture in (
                ("Latency, median of one warm inference", _latencies(rows)),
                ("Size on disk", _sizes(result)),
            )
            if picture
        ],
        verdict=verdict,
        checks=() if verdict is None else view.checks_in_order(verdict),
        allowed_range=allowed_range,
        facts=story.facts,
        steps=result.chosen_candidate.steps,
        layers=explained.layers([*result.declined, *result.chosen_candidate.steps]),
        layers_note=explained.NOTE,
        left=story.left_alone(result),
        linted=story.linted(result),
        costs=story.cost_lines(result),
        method=story.method_lines(result),
        setup=story.setup_lines(result),
    )


def _latencies(rows: tuple[Row, ...]) -> str:
    return bars("p50", [Bar(name=row.name, cell=row.p50, chosen=row.chosen) for row in rows])


def _sizes(result: Result) -> str:
    return bars(
        "size",
        [
            Bar(name=item.name, cell=_exact(item.size_bytes), chosen=item.name == result.chosen)
            for item in result.candidates
        ],
    )


def _exact(size_bytes: int) -> Cell:
    value = float(size_bytes)
    return Cell(
        text=units.show(value, "B"),
        interval=Interval(low=value, value=value, high=value, confidence=1.0),
    )
