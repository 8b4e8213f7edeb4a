"""`edgekit doctor`: what this machine can do."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options

_MARKS = {
    "ok": "[green]ok[/green]",
    "note": "[yellow]note[/yellow]",
    "problem": "[red]problem[/red]",
}


@click.command("doctor")
@options.json_file
def command(json_file: str | None) -> int:
    """Say what this machine can do and how to mend what it cannot.

    Leaves with 4 when something that edgekit needs does not work.
    """
    import json
    from dataclasses import asdict

    from rich.markup import escape
    from rich.table import Table

    from edgekit.cli import terminal
    from edgekit.doctor import examine

    findings = examine()
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
    terminal.next_command("edgekit demo" if not broken else "edgekit doctor, when that is mended")
    return 4 if broken else 0
