"""Small pictures for the HTML report: plain SVG, no script, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from edgekit.judging import Check
from edgekit.metrics import metric
from edgekit.report.view import Cell

CHOSEN, OTHER, ALLOWED, INK = "#2a78d6", "#9db4cc", "#cfe8d5", "#5b6470"
_BAR_WIDTH, _LABEL_WIDTH, _FIGURE_WIDTH, _ROW_HEIGHT = 380, 145, 90, 26
_RANGE_WIDTH, _RANGE_HEIGHT, _MARGIN = 180, 24, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: a name, a figure of 0 or more, and whether it stands out."""

    name: str
    cell: Cell
    chosen: bool


def bars(title: str, items: Sequence[Bar]) -> Markup:
    """Return a horizontal bar chart with whiskers for the intervals; empty without figures."""
    known = [item for item in items if item.cell.interval is not None]
    if not known:
        return Markup()
    longest = max(item.cell.interval.high for item in known if item.cell.interval)
    width = _LABEL_WIDTH + _BAR_WIDTH + _FIGURE_WIDTH
    height = _ROW_HEIGHT * len(known) + 4
    told = "; ".join(f"{item.name} {item.cell.text}" for item in known)
    parts = [
        Markup(
            '<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        ).format(width, height, width, height, f"{title}: {told}")
    ]
    for index, item in enumerate(known):
        parts.append(_bar(item, index * _ROW_HEIGHT + 2, _BAR_WIDTH / (longest or 1.0)))
    return Markup("").join([*parts, Markup("</svg>")])


def allowed_range(check: Check) -> Markup:
    """Return a check as a picture: its interval, the limit, and the side that is allowed."""
    found = check.interval
    if found is None:
        return Markup()
    limit = check.budget.limit
    low, high = min(found.low, limit), max(found.high, limit)
    spread = high - low or abs(limit) or 1.0
    low, high = low - 0.15 * spread, high + 0.15 * spread

    def x(value: float) -> float:
        return round(_MARGIN + (value - low) / (high - low) * (_RANGE_WIDTH - 2 * _MARGIN), 1)

    lower_is_better = metric(check.budget.metric).better == "lower"
    start, end = (0.0, x(limit)) if lower_is_better else (x(limit), float(_RANGE_WIDTH))
    middle = _RANGE_HEIGHT / 2
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<rect x="{start}" y="4" width="{allowed}" height="{inner}" fill="{green}"/>'
        '<line x1="{limit}" x2="{limit}" y1="0" y2="{h}" stroke="{ink}" stroke-dasharray="3 2"/>'
        '<line x1="{low}" x2="{high}" y1="{m}" y2="{m}" stroke="{blue}" stroke-width="3"/>'
        '<circle cx="{value}" cy="{m}" r="4.5" fill="{blue}"/></svg>'
    ).format(
        w=_RANGE_WIDTH,
        h=_RANGE_HEIGHT,
        label=f"{check.budget.text}: {check.ruling}",
        start=start,
        allowed=max(0.0, round(end - start, 1)),
        inner=_RANGE_HEIGHT - 8,
        green=ALLOWED,
        limit=x(limit),
        ink=INK,
        low=x(found.low),
        high=x(found.high),
        m=middle,
        value=x(found.value),
        blue=CHOSEN,
    )


def _bar(item: Bar, top: float, scale: float) -> Markup:
    found = item.cell.interval
    if found is None:
        return Markup()
    middle = top + _ROW_HEIGHT / 2 - 2
    length = round(found.value * scale, 1)
    name = item.name if len(item.name) <= 18 else f"{item.name[:17]}…"  # noqa: PLR2004  # fits the label
    text = Markup(
        '<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="13" fill="currentColor">{t}</text>'
    )
    whisker = Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-width="2"/>').format(
        round(_LABEL_WIDTH + found.low * scale, 1),
        round(_LABEL_WIDTH + found.high * scale, 1),
        middle,
        middle,
        INK,
    )
    return Markup("").join(
        [
            text.format(x=_LABEL_WIDTH - 8, y=middle + 4, anchor="end", t=escape(name)),
            Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="2" fill="{}"/>').format(
                _LABEL_WIDTH,
                top + 2,
                length,
                _ROW_HEIGHT - 8,
                CHOSEN if item.chosen else OTHER,
            ),
            whisker if found.low != found.high else Markup(),
            text.format(
                x=round(_LABEL_WIDTH + found.high * scale + 8, 1),
                y=middle + 4,
                anchor="start",
                t=item.cell.text,
            ),
        ]
    )
