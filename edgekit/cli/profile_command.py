"""`edgekit profile`: measure a model on a device, alone or against another."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("profile")
@options.model
@click.option("--against", metavar="OTHER", help="Model to compare with, in paired blocks.")
@options.device
@options.inventory
@click.option("--runtime", metavar="R", help="Runtime: onnxruntime or litert; by the file's kind.")
@options.evaluation
@options.threads
@options.batch
@options.shapes
@click.option(
    "--per-layer",
    is_flag=True,
    help="Time of each layer beside the device's roofline; with --eval also the first tensor "
    "that differs from this host's.",
)
@click.option(
    "--sustain", metavar="10m", help="Also run it for so long, and find its steady state."
)
@options.json_file
@click.option("--html", "html_file", metavar="FILE", help="Write a page with charts; - is stdout.")
def command(
    *,
    model: str,
    against: str | None,
    device: str | None,
    inventory: str | None,
    runtime: str | None,
    evaluation: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    per_layer: bool,
    sustain: str | None,
    json_file: str | None,
    html_file: str | None,
) -> int:
    """Measure MODEL: latency, throughput, memory and load time, with intervals.

    With --against, both are measured in A B B A order; leaves with 1 when MODEL is slower, with 3
    when that cannot be told.
    """
    from edgekit.cli import terminal
    from edgekit.profiling import profile
    from edgekit.report import console, json_document, measured_page

    with terminal.progress() as report:
        measured = profile(
            model,
            against=against,
            device=device,
            inventory=inventory,
            runtime=runtime,
            evaluation=evaluation,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            per_layer=per_layer,
            sustain_s=options.read_duration(sustain, "--sustain") if sustain else 0.0,
            progress=report,
        )
    if json_file:
        terminal.write_text(json_file, json_document(measured.measurement))
    if html_file:
        terminal.write_text(html_file, measured_page.render(measured.measurement))
    terminal.console().print(console.profile(measured))
    if not json_file:
        terminal.next_command(f"edgekit profile {model} --json measured.json")
    else:
        terminal.next_command(f"edgekit gate {json_file} --budget 'latency.p95<=...ms'")
    return measured.exit_code
