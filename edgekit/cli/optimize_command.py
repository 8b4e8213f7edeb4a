"""`edgekit optimize`: the main job, from an ONNX file to a judged bundle."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("optimize")
@options.model
@options.target
@options.data
@options.evaluation
@options.profile
@options.device
@options.inventory
@options.budgets
@options.threads
@options.batch
@options.shapes
@options.file_format
@click.option("--out", metavar="DIR", help="Bundle to write; MODEL-TARGET.bundle by default.")
@options.force
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done.")
@options.json_file
def command(
    *,
    model: str,
    target: str | None,
    data: str | None,
    evaluation: str | None,
    profile: str | None,
    device: str | None,
    inventory: str | None,
    budgets: tuple[str, ...],
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    file_format: str,
    out: str | None,
    json_file: str | None,
    force: bool,
    dry_run: bool,
) -> int:
    """Compress MODEL for a target and write the best form, with the evidence, as a bundle."""
    from edgekit.cli import terminal
    from edgekit.pipeline import DEFAULT_PROFILE, optimize

    with terminal.progress() as report:
        result = optimize(
            model,
            target=options.required(target, "--target"),
            data=options.required(data, "--data"),
            evaluation=evaluation,
            profile=profile or DEFAULT_PROFILE,
            device=device,
            inventory=inventory,
            budgets=budgets,
            threads=threads,
            batch=batch,
            shapes=options.read_shapes(shapes),
            format=file_format,
            out=out,
            force=force,
            dry_run=dry_run,
            progress=report,
        )
    return terminal.show_result(result, json_file)
