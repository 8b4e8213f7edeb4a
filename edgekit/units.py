"""Units: how they are written in budgets, and how figures are shown to people.

Figures are stored in the unit of their metric (`edgekit.metrics`): s, B, 1/s, J, dB, pt, or none.
"""

from __future__ import annotations

import math

from edgekit.errors import UsageError

_FACTORS: dict[str, dict[str, float]] = {
    "s": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "B": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    "1/s": {"/s": 1.0, "1/s": 1.0, "Hz": 1.0, "": 1.0},
    "J": {"uJ": 1e-6, "mJ": 1e-3, "J": 1.0},
    "dB": {"dB": 1.0},
    "pt": {"pt": 1.0, "%": 1.0},
    "": {"": 1.0, "x": 1.0, "%": 0.01},
}
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
    "J": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")),
}


def factor(written: str, unit: str, *, where: str = "") -> float:
    """Return what one `written` unit is in the stored `unit`.

    Raises:
        UsageError: `written` is no unit of that kind; the message lists those that are.

    >>> factor("ms", "s")
    0.001
    """
    known = _FACTORS[unit]
    if written in known:
        return known[written]
    expected = ", ".join(repr(name) if name else "no unit" for name in known)
    raise UsageError(
        "wrong unit",
        where=where,
        found=repr(written) if written else "no unit",
        expected=f"one of {expected}",
    )


def show(value: float, unit: str) -> str:
    """Write a figure for people: about three significant digits and a fitting unit.

    >>> show(0.001234, "s"), show(4718592, "B"), show(0.3104, ""), show(0.42, "pt")
    ('1.23 ms', '4.50 MiB', '0.310x', '0.42 pt')
    """
    if not math.isfinite(value):
        return "unbounded" if math.isinf(value) else "unknown"
    if unit in _SCALES:
        scales = _SCALES[unit]
        scale, name = next(
            ((scale, name) for scale, name in scales if abs(value) >= 0.9995 * scale), scales[-1]
        )
        if name == "B":
            return f"{value:.0f} B"
        return f"{_digits(value / scale)} {name}"
    if unit == "":
        return f"{value:.3f}x"
    if unit == "1/s":
        return f"{_digits(value)} /s"
    return f"{value:.{1 if unit == 'dB' else 2}f} {unit}"


def percent(share: float) -> str:
    """Write a share of 0 to 1 for people.

    >>> percent(0.92912)
    '92.91 %'
    """
    return f"{100 * share:.2f} %"


def _digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    before_point = math.floor(math.log10(abs(value) * 1.0005)) + 1
    return f"{value:.{max(0, min(9, 3 - before_point))}f}"
