"""`edgekit target`: the classes of device that edgekit knows, and what their runtimes take."""

from __future__ import annotations

import rich_click as click

from edgekit.cli import options


@click.group("target")
def command() -> None:
    """List targets, show one, or check a model against one."""


@command.command("list")
def list_targets() -> int:
    """List the targets by name."""
    from edgekit import target as targets

    for name in targets.names():
        click.echo(f"{name:10} {targets.load(name).title}")
    return 0


@command.command("show")
@click.argument("name", metavar="T")
def show(name: str) -> int:
    """Show the facts of a target, with their sources."""
    from edgekit import target as targets

    found = targets.load(name)
    form = found.quantized
    click.echo(f"{found.name}: {found.title}")
    click.echo(f"  architectures  {', '.join(found.architectures)}")
    click.echo(f"  runtimes       {', '.join(found.runtimes)} ({', '.join(found.providers)})")
    click.echo(f"  formats        {', '.join(found.formats)}")
    symmetry = "symmetric" if form.symmetric_activations else "asymmetric"
    click.echo(f"  int8           {form.activations} {symmetry} activations, {form.bias} bias")
    for engine in found.engines:
        low, high = engine.opsets
        click.echo(
            f"  - {engine.title}: {len(engine.operators)} operators of opsets {low} to {high}, "
            f"all others run on {engine.otherwise}\n    [{engine.source}]"
        )
    for fact in found.facts:
        click.echo(f"  - {fact.statement}\n    [{fact.source}]")
    return 0


@command.command("check")
@click.argument("name", metavar="T")
@options.model
@click.option("--dla", is_flag=True, help="Ask what a Jetson's DLA takes, too.")
@click.option("--xnnpack", is_flag=True, help="Ask what the XNNPACK provider takes, too.")
@options.shapes
@options.json_file
def check(
    *,
    name: str,
    model: str,
    dla: bool,
    xnnpack: bool,
    shapes: tuple[str, ...],
    json_file: str | None,
) -> int:
    """Say what a target's runtime would reject, fall back on, or run slowly, and why.

    Nothing is run on a device. Leaves with 0 when nothing is rejected, with 2 when something is.
    """
    from edgekit.checking import check
    from edgekit.cli import terminal
    from edgekit.errors import ModelError
    from edgekit.report import json_document
    from edgekit.report.findings import findings

    asked = tuple(engine for engine, on in (("dla", dla), ("xnnpack", xnnpack)) if on)
    found = check(model, target=name, engines=asked, shapes=options.read_shapes(shapes))
    if json_file:
        terminal.write_text(json_file, json_document(found))
    terminal.console().print(findings(found.findings, f"{found.model} on {found.target}"))
    rejected = found.rejected
    if rejected:
        raise ModelError(
            f"{name} would reject it",
            where=model,
            found=f"{len(rejected)} finding{'s' if len(rejected) > 1 else ''} to mend",
            remedy=rejected[0].remedy,
        )
    terminal.next_command(
        f"edgekit profile {model}"
        if found.quantized
        else f"edgekit quantize {model} --target {name} --data DATA -o int8.onnx"
    )
    return 0
