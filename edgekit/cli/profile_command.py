"""`edgekit profile`: measure a model on a device, alone or against another."""

from __future__ import annotations

from typing import Any

import rich_click as click

from edgekit.cli import options


@click.command("profile")
@options.model
@click.option("--against", metavar="OTHER", help="Model to compare with, in paired blocks.")
@options.devices
@options.inventory
@click.option("--runtime", metavar="R", help="onnxruntime, litert or trtexec; by the file's kind.")
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
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="'METRIC<=LIMIT'",
    help="Measure until `edgekit gate` can rule on it, 30 blocks at most. Repeatable.",
)
@options.json_file
@click.option("--html", "html_file", metavar="FILE", help="Write a page with charts; - is stdout.")
def command(
    *,
    model: str,
    against: str | None,
    devices: tuple[str, ...],
    inventory: str | None,
    runtime: str | None,
    evaluation: str | None,
    threads: int,
    batch: int,
    shapes: tuple[str, ...],
    per_layer: bool,
    sustain: str | None,
    budgets: tuple[str, ...],
    json_file: str | None,
    html_file: str | None,
) -> int:
    """Measure MODEL: latency, throughput, memory and load time, with intervals.

    With --against, both are measured in A B B A order; leaves with 1 when MODEL is slower, with 3
    when that cannot be told. With several devices they measure at the same time, --json and --html
    write a file for each (FILE.NAME), and one that fails makes it 3 unless another rules 1.
    """
    wanted: dict[str, Any] = {
        "against": against,
        "inventory": inventory,
        "runtime": runtime,
        "evaluation": evaluation,
        "threads": threads,
        "batch": batch,
        "shapes": options.read_shapes(shapes),
        "budgets": budgets,
        "per_layer": per_layer,
        "sustain_s": options.read_duration(sustain, "--sustain") if sustain else 0.0,
    }
    if len(devices) > 1 or any(device.startswith("tag:") for device in devices):
        return _on_all(model, devices, wanted, json_file=json_file, html_file=html_file)
    from edgekit.cli import terminal
    from edgekit.profiling import profile
    from edgekit.report import console, json_document, measured_page

    with terminal.progress() as report:
        measured = profile(model, device=devices[0] if devices else None, progress=report, **wanted)
    if json_file:
        terminal.write_text(json_file, json_document(measured.measurement))
    if html_file:
        terminal.write_text(html_file, measured_page.render(measured.measurement))
    terminal.console().print(console.profile(measured))
    if not json_file:
        alike = options.measured_by(
            devices[0] if devices else None,
            inventory,
            threads=threads,
            batch=batch,
            shapes=shapes,
            runtime=runtime,
        ) + "".join(f" --budget '{budget}'" for budget in budgets)
        against = f" --against {against}" if against else ""
        terminal.next_command(f"edgekit profile {model}{against}{alike} --json measured.json")
    else:
        limits = " ".join(f"--budget '{budget}'" for budget in budgets or ["latency.p95<=...ms"])
        terminal.next_command(f"edgekit gate {json_file} {limits}")
    return measured.exit_code


def _on_all(
    model: str,
    devices: tuple[str, ...],
    wanted: dict[str, Any],
    *,
    json_file: str | None,
    html_file: str | None,
) -> int:
    from edgekit.cli import terminal
    from edgekit.errors import UsageError
    from edgekit.fleet import profile_fleet
    from edgekit.report import json_document, measured_page
    from edgekit.report.sidebyside import Column, side_by_side

    if "-" in (json_file, html_file):
        raise UsageError("several devices need files", found="-", expected="a file's name")
    with terminal.progress() as report:
        fleet = profile_fleet(model, devices=devices, progress=report, **wanted)
    columns: list[Column] = []
    for share in fleet.shares:
        found = share.profiled
        if found is None:
            columns.append((share.device, None, (), str(share.error)))
            continue
        columns.append((share.device, found.measurement, found.regressions, ""))
        if json_file:
            name = options.of_device(json_file, share.device)
            terminal.write_text(name, json_document(found.measurement))
        if html_file:
            name = options.of_device(html_file, share.device)
            terminal.write_text(name, measured_page.render(found.measurement))
    terminal.console().print(side_by_side(columns))
    terminal.next_command(f"edgekit device check {fleet.shares[0].device}")
    return fleet.exit_code
