"""`edgekit prune`: a physically smaller model, as a file."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("prune")
@options.model
@options.data
@click.option("--keep-macs", type=float, metavar="SHARE", help="Share of multiply-adds to keep.")
@click.option("--keep-params", type=float, metavar="SHARE", help="Share of parameters to keep.")
@click.option("--max-latency", metavar="TIME", help="Latency to reach on the device, e.g. 8ms.")
@click.option(
    "--ratio",
    "ratios",
    multiple=True,
    metavar="LAYER=SHARE",
    help="Share of the channels of a layer (a name or a pattern) that goes. Repeatable.",
)
@click.option("--criterion", metavar="C", default="obs", show_default=True, help="Ranks channels.")
@click.option(
    "--granularity",
    type=click.Choice(["mixed", "channels", "heads", "blocks"]),
    default="mixed",
    show_default=True,
    help="What goes; mixed: channels, and residual blocks where that costs less.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="In how many steps it is done; 0: one, and two as well where less than 40% is to stay.",
)
@click.option(
    "--schedule",
    type=click.Choice(["iterative", "polynomial"]),
    default="iterative",
    show_default=True,
    help="Of several rounds: each removes the same part, or the first ones more (with --rounds N).",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="LAYER",
    help="A layer (a name or a pattern) whose channels all stay. Repeatable.",
)
@options.target
@options.device
@options.inventory
@options.threads
@options.batch
@options.shapes
@options.output_file
@options.force
def command(
    *,
    model: str,
    data: str | None,
    keep_macs: float | None,
    keep_params: float | None,
    max_latency: str | None,
    ratios: tuple[str, ...],
    criterion: str,
    granularity: str,
    rounds: int,
    schedule: str,
    ignore: tuple[str, ...],
    target: str | None,
    device: str | None,
    inventory: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    output: str | None,
    force: bool,
) -> int:
    """Remove channels of MODEL and refit what reads them, from unlabelled data.

    Say how much goes with one of --keep-macs, --keep-params, --max-latency, or --ratio.
    """
    from edgekit.cli import terminal
    from edgekit.single import prune

    written = options.required(output, "-o")
    with terminal.progress() as report:
        record = prune(
            model,
            data=data,
            keep_macs=keep_macs,
            keep_params=keep_params,
            max_latency_s=options.read_seconds(max_latency, "--max-latency")
            if max_latency is not None
            else None,
            ratios=options.read_numbers(ratios, "--ratio", "LAYER=SHARE, e.g. 'layer1.*=0.3'"),
            criterion=criterion,
            granularity=granularity,
            rounds=rounds,
            schedule=schedule,
            ignore=ignore,
            target=target,
            out=written,
            device=device,
            inventory=inventory,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            force=force,
            progress=report,
        )
    alike = options.measured_by(device, inventory, threads=threads, batch=batch, shapes=shapes)
    return terminal.show_record(record, model, written, alike)
