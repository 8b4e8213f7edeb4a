"""Findings of a lint for the terminal: places that share a reason are told together."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
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
    """Return a listing of findings, worst first, and how many there are of each kind.

    Args:
        found: what a lint says.
        subject: what was looked at, for the last line.
    """
    grouped: dict[tuple[Severity, str, str], list[str]] = {}
    for finding in found:
        key = (finding.severity, finding.what, finding.remedy)
        grouped.setdefault(key, []).append(finding.where)
    lines: list[Text] = []
    for (severity, what, remedy), places in grouped.items():
        lines.append(Text.assemble((f"{severity:9} ", _STYLES[severity]), printable(what)))
        lines.append(Text(printable(f"{'':9} at {_places(places)}"), style="dim"))
        if remedy:
            lines.append(Text(printable(f"{'':9} remedy: {remedy}")))
    counts = {severity: sum(f.severity == severity for f in found) for severity in SEVERITIES}
    told = ", ".join(f"{count} {_MEANING[kind]}" for kind, count in counts.items() if count)
    return Group(*lines, Text(printable(f"{subject}: {told or 'nothing to mend'}")))


def _places(places: Sequence[str]) -> str:
    more = len(places) - _SHOWN_PLACES
    return ", ".join(places[:_SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")
