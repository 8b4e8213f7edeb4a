"""`edgekit inspect`: what a model is made of and what it costs."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("inspect")
@options.model
@options.batch
@options.shapes
@options.json_file
@click.option("--all", "every", is_flag=True, help="List every node, not only those that weigh.")
def command(
    *,
    model: str,
    batch: int,
    shapes: tuple[str, ...],
    json_file: str | None,
    every: bool,
) -> int:
    """Show inputs, outputs and the cost of each layer of MODEL."""
    from edgekit.cli import terminal
    from edgekit.inspection import inspect
    from edgekit.report import console, json_document

    found = inspect(model, batch=batch, shapes=options.read_shapes(shapes))
    if json_file:
        terminal.write_text(json_file, json_document(found))
    terminal.console().print(console.inspection(found, every=every))
    terminal.next_command(f"edgekit profile {model}")
    return 0
