"""`edgekit quantize`: static int8 alone, as a file."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("quantize")
@options.model
@options.target
@options.data
@options.device
@options.threads
@options.batch
@options.shapes
@click.option("-o", "--output", metavar="OUT", help="Model file to write.")
@options.force
def command(
    *,
    model: str,
    target: str | None,
    data: str | None,
    device: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    output: str | None,
    force: bool,
) -> int:
    """Quantize MODEL to static int8 in the form its target's kernels want."""
    from rich.markup import escape

    from edgekit.cli import terminal
    from edgekit.pipeline import quantize

    written = options.required(output, "-o")
    with terminal.progress() as report:
        record = quantize(
            model,
            target=options.required(target, "--target"),
            data=options.required(data, "--data"),
            out=written,
            device=device,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            force=force,
            progress=report,
        )
    for name, value in record.facts.items():
        if isinstance(value, str | int | float):
            terminal.say(f"{escape(name)}: {escape(str(value))}")
    for skip in record.skipped[:20]:
        terminal.say(f"left alone: {escape(skip.where)}: {escape(skip.reason)}")
    if len(record.skipped) > 20:  # noqa: PLR2004  # a screenful
        terminal.say(f"... and {len(record.skipped) - 20} more")
    terminal.next_command(f"edgekit profile {written} --against {model}")
    return 0
