"""`edgekit verify`: is a bundle what it was when it was written?"""

from __future__ import annotations

import rich_click as click


@click.command("verify")
@click.argument("folder", metavar="BUNDLE", type=click.Path())
def command(folder: str) -> int:
    """Check every file of BUNDLE against the hashes in its manifest.

    Leaves with 1 when something was changed, added or removed.
    """
    from rich.markup import escape

    from edgekit import bundle
    from edgekit.cli import terminal

    problems = bundle.verify(folder)
    for problem in problems:
        terminal.say(f"[red]changed[/red] {escape(problem)}")
    if problems:
        return 1
    terminal.say(f"{escape(folder)}: every file is as it was written")
    terminal.next_command(f"edgekit gate {folder}")
    return 0
