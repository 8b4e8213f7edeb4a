"""`edgekit report`: show what a bundle says."""

from __future__ import annotations

import rich_click as click


@click.command("report")
@click.argument("folder", metavar="BUNDLE", type=click.Path())
@click.option("--open", "open_it", is_flag=True, help="Open report.html in the browser.")
def command(folder: str, *, open_it: bool) -> int:
    """Show the result of BUNDLE, or open its HTML report."""
    import webbrowser
    from pathlib import Path

    from edgekit import bundle
    from edgekit.cli import terminal
    from edgekit.report import console

    found = bundle.read(folder)
    terminal.console().print(console.render(found.result))
    page = Path(folder).resolve() / "report.html"
    if open_it:
        webbrowser.open(page.as_uri())
    else:
        terminal.next_command(f"edgekit report {folder} --open")
    return 0
