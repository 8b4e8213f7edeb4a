"""The course of a sustained run: latency over time, heat and frequency beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from edgekit import units
from edgekit.judging import steady
from edgekit.measurement import Sustained

_STEPS = "▁▂▃▄▅▆▇█"
_COLUMNS = 60
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 110, 8, 22, 20
_LINE, _INK, _SOFT = "#2a78d6", "#5b6470", "#9db4cc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One quantity over the windows of a run.

    Attributes:
        values: one a window, in time.
        spread: lowest and highest, as text.
    """

    name: str
    values: tuple[float, ...]
    spread: str


def courses(run: Sustained) -> tuple[Course, ...]:
    """Return latency, the zone that became hottest, and the frequency, as far as they are known."""
    found = [_course("latency p50", [window.p50_s for window in run.windows], _seconds)]
    found.append(_course("latency p95", [window.p95_s for window in run.windows], _seconds))
    heats = [window.temperature_c for window in run.windows]
    known = [heat for heat in heats if heat is not None]
    if known and len(known) == len(heats):
        zones = set.intersection(*(set(heat) for heat in known))
        if zones:
            hottest = max(sorted(zones), key=lambda zone: max(heat[zone] for heat in known))
            values = [heat[hottest] for heat in known]
            found.append(_course(hottest, values, lambda value: f"{value:.1f} °C"))
    clocks = [window.frequency_hz for window in run.windows if window.frequency_hz is not None]
    if clocks and len(clocks) == len(run.windows):
        found.append(_course("frequency", clocks, lambda value: f"{value / 1e9:.2f} GHz"))
    return tuple(found)


def spark(values: Sequence[float]) -> str:
    """Return a line of small bars: the lowest value is the lowest bar, the highest the highest.

    >>> spark([1, 2, 3, 8])
    '▁▂▃█'
    """
    array = np.asarray(values, dtype=float)
    if array.size > _COLUMNS:
        array = np.array([np.median(part) for part in np.array_split(array, _COLUMNS)])
    low, high = array.min(), array.max()
    scaled = (array - low) / ((high - low) or 1.0)
    return "".join(_STEPS[min(len(_STEPS) - 1, int(x * len(_STEPS)))] for x in scaled)


def told(run: Sustained) -> str:
    """Say when it became steady and how that compares with its first moments."""
    state = steady(run)
    if state.start is None:
        return f"not steady within {run.seconds:g} s"
    return (
        f"steady from {run.windows[state.start].at_s:.0f} s of {run.seconds:g} s on at "
        f"{_seconds(state.steady_s)}, {state.steady_s / state.first_s:.2f} times the first moments"
    )


def picture(course: Course, run: Sustained) -> Markup:
    """Return one quantity over time as SVG, with a mark where the run became steady."""
    low, high = min(course.values), max(course.values)
    last_s = run.windows[-1].at_s or 1.0
    inner = _HEIGHT - _TOP - _BOTTOM

    def x(at_s: float) -> float:
        return round(_LEFT + at_s / last_s * (_WIDTH - 2 * _LEFT), 1)

    def y(value: float) -> float:
        return round(_TOP + inner * (1 - (value - low) / ((high - low) or 1.0)), 1)

    points = " ".join(
        f"{x(window.at_s)},{y(value)}"
        for window, value in zip(run.windows, course.values, strict=True)
    )
    state = steady(run)
    mark = Markup()
    if state.start is not None:
        mark = Markup(
            '<line x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" stroke="{ink}" '
            'stroke-dasharray="3 2"/>'
        ).format(x=x(run.windows[state.start].at_s), top=_TOP, bottom=_TOP + inner, ink=_SOFT)
    text = Markup(
        '<text x="{}" y="{}" text-anchor="{}" font-size="12" fill="currentColor">{}</text>'
    )
    return Markup("").join(
        [
            Markup(
                '<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
            ).format(_WIDTH, _HEIGHT, _WIDTH, _HEIGHT, f"{course.name}: {course.spread}"),
            text.format(_LEFT, 14, "start", f"{course.name}: {course.spread}"),
            mark,
            Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.5"/>').format(
                points, _LINE
            ),
            Markup('<line x1="{}" x2="{}" y1="{y}" y2="{y}" stroke="{ink}"/>').format(
                _LEFT, _WIDTH - _LEFT, y=_TOP + inner + 2, ink=_INK
            ),
            text.format(_LEFT, _HEIGHT - 4, "start", "0 s"),
            text.format(_WIDTH - _LEFT, _HEIGHT - 4, "end", f"{last_s:.0f} s"),
            Markup("</svg>"),
        ]
    )


def _course(name: str, values: Sequence[float], show: Callable[[float], str]) -> Course:
    low, high = show(min(values)), show(max(values))
    return Course(
        name=name,
        values=tuple(values),
        spread=low if low == high else f"{low} to {high}",
    )


def _seconds(value: float) -> str:
    return units.show(value, "s")
