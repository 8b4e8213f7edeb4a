"""`edgekit quantize`: static int8 alone, as a file."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("quantize")
@options.model
@options.target
@options.data
@options.device
@options.inventory
@options.threads
@options.batch
@options.shapes
@options.file_format
@click.option("--explain", is_flag=True, help="List the layers by what int8 costs there, and why.")
@options.output_file
@options.force
def command(
    *,
    model: str,
    target: str | None,
    data: str | None,
    device: str | None,
    inventory: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    file_format: str,
    explain: bool,
    output: str | None,
    force: bool,
) -> int:
    """Quantize MODEL to static int8 in the form its target's kernels want.

    With --explain: which layers cost most by themselves, why (an outlier channel, a narrow range,
    saturation, tiny accumulators, an unfused island), what was done about it, and what int8 saves.
    """
    from edgekit.cli import terminal
    from edgekit.single import quantize

    written = options.required(output, "-o")
    with terminal.progress() as report:
        record = quantize(
            model,
            target=options.required(target, "--target"),
            data=options.required(data, "--data"),
            out=written,
            device=device,
            inventory=inventory,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            format=file_format,
            explain=explain,
            force=force,
            progress=report,
        )
    if explain:
        from edgekit.report.explained import listing

        terminal.console().print(listing(record))
    alike = options.measured_by(device, inventory, threads=threads, batch=batch, shapes=shapes)
    return terminal.show_record(record, model, written, alike)
