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
    for fact in found.facts:
        click.echo(f"  - {fact.statement}\n    [{fact.source}]")
    return 0


@command.command("check")
@click.argument("name", metavar="T")
@options.model
def check(name: str, model: str) -> int:
    """Say what a target's runtime would reject, fall back on, or run slowly."""
    from edgekit import graph
    from edgekit import target as targets
    from edgekit.quantization import lint

    findings = lint(graph.load(model), targets.load(name))
    for finding in findings:
        click.echo(f"{finding.severity}: {finding.where}: {finding.what}")
    if not findings:
        click.echo(f"{model}: nothing to mend for {name}", err=True)
    return 1 if any(finding.severity == "error" for finding in findings) else 0
