"""Markdown: for a merge request, a CI summary, a bundle's report.md."""

from __future__ import annotations

import re

from edgekit.errors import printable
from edgekit.judging import Check, Verdict
from edgekit.report import explained, story, view
from edgekit.report.explained import Layer
from edgekit.report.view import Cell, Row
from edgekit.result import Result

_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|<>~&])")


def render(result: Result) -> str:
    """Return the report of a result as GitHub-flavoured Markdown."""
    parts = [
        f"# {_text(result.model)} for {_text(result.target)}: {result.ruling}",
        f"**{_text(view.headline(result))}** {_text(result.reason)}.",
    ]
    if gains := view.gains(result):
        parts.append("\n".join(f"- {_text(figure)} {_text(meaning)}" for figure, meaning in gains))
    parts.append("## Candidates\n\n" + _candidates(view.rows(result)))
    found = result.verdict_of(result.chosen)
    if found is not None:
        parts.append("## Budgets\n\n" + _checks(found))
    if layers := explained.layers([*result.declined, *result.chosen_candidate.steps]):
        parts.append("## Layers by what int8 costs there\n\n" + _layers(layers))
    if left := story.left_alone(result):
        lines = (
            f"- **{_text(item.step)}** left {_text(_places(item.where))}: {_text(item.reason)}"
            for item in left
        )
        parts.append("## What was left alone\n\n" + "\n".join(lines))
    if linted := story.linted(result):
        lines = (
            f"- **{item.severity}**: {_text(_places(item.where))}: {_text(item.what)}"
            + (f"; {_text(item.remedy)}" if item.remedy else "")
            for item in linted
        )
        parts.append("## Findings for the target\n\n" + "\n".join(lines))
    notes = (*story.method_lines(result), *result.notes)
    if notes:
        lines = (f"- {_text(line)}" for line in notes)
        parts.append("## How it was measured\n\n" + "\n".join(lines))
    setup = "\n".join(f"| {_text(k)} | {_text(v)} |" for k, v in story.setup_lines(result))
    parts.append(f"## Setup\n\n| | |\n|---|---|\n{setup}")
    if result.next_command:
        parts.append(f"Next: {_code(result.next_command)}")
    return "\n\n".join(parts) + "\n"


def verdict(found: Verdict) -> str:
    """Return a verdict alone, as `edgekit gate --markdown` writes it."""
    return f"# {_text(found.candidate)}: {found.ruling}\n\n{_checks(found)}\n"


def _candidates(rows: tuple[Row, ...]) -> str:
    lines = [
        "| candidate | p50 | p95 | p50 ratio | peak memory | size | accuracy | drop | ruling |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = _text(row.name)
        cells = (row.p50, row.p95, row.ratio, row.memory, row.size, row.accuracy, row.drop)
        lines.append(
            f"| {f'**{name}** (chosen)' if row.chosen else name} | "
            + " | ".join(map(_cell, cells))
            + f" | {row.ruling or view.NOTHING} |"
        )
    return "\n".join(lines)


def _layers(layers: tuple[Layer, ...], shown: int = 10) -> str:
    lines = [
        "| layer | form | alone | now | int8 here | cause | done |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in layers[:shown]:
        cells = (one.unit, one.form, one.alone, one.now, one.price)
        cause = f"{one.cause}: {one.why}"
        lines.append(f"| {' | '.join(map(_text, (*cells, cause, one.remedy)))} |")
    more = len(layers) - shown
    lines.append(f"\n{_text(explained.NOTE)}" + (f" {more} more cost less." if more > 0 else ""))
    return "\n".join(lines)


def _checks(found: Verdict) -> str:
    lines = ["| budget | ruling | why |", "|---|---|---|"]
    lines += [_check(check) for check in view.checks_in_order(found)]
    lines += [f"\n> {_text(remark)}" for remark in found.remarks]
    if found.null_control == "fail":
        lines.append(f"\n> Null control failed: {_text(found.null_reason)}")
    return "\n".join(lines)


def _check(check: Check) -> str:
    only_shown = " (only shown)" if check.budget.severity == "warn" else ""
    ruling = f"{check.ruling}{only_shown}"
    return f"| {_code(check.budget.text)} | {ruling} | {_text(check.reason)} |"


def _cell(cell: Cell) -> str:
    return _text(f"{cell.text} ({cell.spread})" if cell.spread else cell.text)


def _places(where: tuple[str, ...], shown: int = 8) -> str:
    more = f" and {len(where) - shown} more" if len(where) > shown else ""
    return ", ".join(where[:shown]) + more


def _text(text: str) -> str:
    """Escape text so that no name can become markup, a link or a new line."""
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def _code(text: str) -> str:
    quoted = " ".join(printable(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{quoted}`"
