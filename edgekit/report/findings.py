"""Findings of a lint for the terminal: places that share a reason are told together."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.errors import printable
from edgekit.linting import SEVERITIES, Finding, Severity

_STYLES: dict[Severity, str] = {"reject": "bold red", "fallback": "yellow", "slow": "cyan"}
_MEANING: dict[Severity, str] = {
    "reject": "rejected",
    "fallback": "run elsewhere or in float",
    "slow": "slower than need be",
}
_SHOWN_PLACES = 3


def findings(found: Sequence[Finding], subject: str) -> RenderableType:
    """Return a table of findings, worst first, and how many there are of each kind.

    Args:
        found: what a lint says.
        subject: what was looked at, for the last line.
    """
    grouped: dict[tuple[Severity, str, str], list[str]] = {}
    for finding in found:
        key = (finding.severity, finding.what, finding.remedy)
        grouped.setdefault(key, []).append(finding.where)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("severity", "where", "what", "remedy"):
        table.add_column(name, no_wrap=name == "severity", overflow="fold")
    for (severity, what, remedy), places in grouped.items():
        table.add_row(
            _text(severity, style=_STYLES[severity]),
            _text(_places(places)),
            _text(what),
            _text(remedy),
        )
    counts = {severity: sum(f.severity == severity for f in found) for severity in SEVERITIES}
    told = ", ".join(f"{count} {_MEANING[kind]}" for kind, count in counts.items() if count)
    return Group(*([table] if grouped else []), _text(f"{subject}: {told or 'nothing to mend'}"))


def _places(places: Sequence[str]) -> str:
    more = len(places) - _SHOWN_PLACES
    return ", ".join(places[:_SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
