"""`edgekit doctor`: what this machine, or a device, can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich_click as click

from edgekit.cli import options

if TYPE_CHECKING:
    from edgekit.doctor import Finding

_MARKS = {
    "ok": "[green]ok[/green]",
    "note": "[yellow]note[/yellow]",
    "problem": "[red]problem[/red]",
}


@click.command("doctor")
@options.device
@options.inventory
@options.json_file
def command(*, device: str | None, inventory: str | None, json_file: str | None) -> int:
    """Say what this machine, or the device, can do and how to mend what it cannot.

    Leaves with 4 when something that edgekit needs does not work.
    """
    from edgekit.diagnosis import check_device
    from edgekit.doctor import examine

    if device is None or device == "local":
        return show(examine(), json_file, "edgekit demo", "edgekit doctor")
    return show(
        check_device(device, inventory=inventory),
        json_file,
        f"edgekit profile MODEL --device {device}",
        f"edgekit device check {device}",
    )


def show(findings: Sequence[Finding], json_file: str | None, well: str, again: str) -> int:
    """Print findings as a table and return the exit code.

    Args:
        findings: what was looked at.
        json_file: where they are written as JSON, too.
        well: the next command when nothing is broken.
        again: the command that looked.
    """
    import json
    from dataclasses import asdict

    from rich.markup import escape
    from rich.table import Table

    from edgekit.cli import terminal

    if json_file:
        document = {"schema": 1, "findings": [asdict(finding) for finding in findings]}
        terminal.write_text(json_file, json.dumps(document, indent=2))
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "remedy"):
        table.add_column(heading, style="bold" if heading == "what" else None)
    for finding in findings:
        table.add_row(
            _MARKS[finding.level],
            escape(finding.subject),
            escape(finding.found),
            escape(finding.remedy),
        )
    terminal.console().print(table)
    broken = any(finding.level == "problem" for finding in findings)
    terminal.next_command(well if not broken else f"{again}, when that is mended")
    return 4 if broken else 0
