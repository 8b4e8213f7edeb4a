"""`edgekit demo`: the main job on the sample that ships with the package."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.command("demo")
@click.option(
    "--out", metavar="DIR", default="demo.bundle", show_default=True, help="Bundle to write."
)
@options.force
def command(out: str, *, force: bool) -> int:
    """Quantize a small residual network for this machine and show the verdict.

    It was trained on Fashion-MNIST; 512 images calibrate it and 2,000 labelled ones judge it.
    The profile is quantize-only, the quickest.
    """
    from edgekit.cli import terminal
    from edgekit.pipeline import optimize
    from edgekit.placement import local_target
    from edgekit.sample import demo_files

    files = demo_files()
    with terminal.progress() as report:
        result = optimize(
            files.model,
            target=local_target().name,
            data=files.calibration,
            evaluation=files.test,
            profile="quantize-only",
            out=out,
            force=force,
            progress=report,
        )
    return terminal.show_result(result, None)
