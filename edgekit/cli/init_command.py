"""`edgekit init`: a release profile to start from."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("init")
@options.model
@options.device
@options.inventory
@options.threads
@options.batch
@options.shapes
@click.option("-o", "--output", metavar="FILE", help="Profile to write; MODEL.toml by default.")
def command(
    *,
    model: str,
    device: str | None,
    inventory: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    output: str | None,
) -> int:
    """Measure MODEL as it is and write a release profile with budgets to start from."""
    from rich.markup import escape

    from edgekit.cli import terminal
    from edgekit.starting import init

    with terminal.progress() as report:
        written = init(
            model,
            out=output,
            device=device,
            inventory=inventory,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            progress=report,
        )
    terminal.say(f"wrote {escape(str(written.path))}")
    terminal.next_command(
        f"edgekit optimize {model} --target {written.target} --data DATA --profile {written.path}"
        + options.measured_by(device, inventory, threads=threads, batch=batch, shapes=shapes)
    )
    return 0
