"""`edgekit inspect`: what a model is made of and what it costs."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("inspect")
@options.model
@options.batch
@options.shapes
@options.json_file
@click.option("--groups", is_flag=True, help="List what pruning can remove, and what not and why.")
@options.target
@click.option("--all", "every", is_flag=True, help="List every node, not only those that weigh.")
def command(
    *,
    model: str,
    batch: int,
    shapes: tuple[str, ...],
    json_file: str | None,
    groups: bool,
    target: str | None,
    every: bool,
) -> int:
    """Show inputs, outputs and the cost of each layer of MODEL.

    With --groups: which channels can only go together, what half of each group would save on the
    target (this machine's kind by default), and which must stay and why.
    """
    from edgekit.cli import terminal
    from edgekit.inspection import inspect
    from edgekit.report import console, json_document

    if target is not None and not groups:
        raise click.UsageError("--target says how channels are counted; add --groups")
    found = inspect(
        model, groups=groups, target=target, batch=batch, shapes=options.read_shapes(shapes)
    )
    if json_file:
        terminal.write_text(json_file, json_document(found))
    terminal.console().print(console.inspection(found, every=every))
    terminal.next_command(
        f"edgekit prune {model} --data DATA --keep-macs 0.5 -o pruned.onnx"
        if groups
        else f"edgekit profile {model}"
    )
    return 0
