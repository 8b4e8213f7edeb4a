"""`edgekit profile`: measure a model on a device, alone or against another."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("profile")
@options.model
@click.option("--against", metavar="OTHER", help="Model to compare with, in paired blocks.")
@options.device
@click.option("--runtime", metavar="R", help="Runtime: onnxruntime or litert; by the file's kind.")
@options.evaluation
@options.threads
@options.batch
@options.shapes
@options.json_file
def command(
    *,
    model: str,
    against: str | None,
    device: str | None,
    runtime: str | None,
    evaluation: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    json_file: str | None,
) -> int:
    """Measure MODEL: latency, throughput, memory and load time, with intervals.

    With --against, both are measured in A B B A order; leaves with 1 when MODEL is slower, with 3
    when that cannot be told.
    """
    from edgekit.cli import terminal
    from edgekit.profiling import profile
    from edgekit.report import console, json_document

    with terminal.progress() as report:
        measured = profile(
            model,
            against=against,
            device=device,
            runtime=runtime,
            evaluation=evaluation,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            progress=report,
        )
    if json_file:
        terminal.write_text(json_file, json_document(measured.measurement))
    terminal.console().print(console.profile(measured))
    if not json_file:
        terminal.next_command(f"edgekit profile {model} --json measured.json")
    else:
        terminal.next_command(f"edgekit gate {json_file} --budget 'latency.p95<=...ms'")
    return measured.exit_code
