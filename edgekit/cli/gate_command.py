"""`edgekit gate`: refuse a release that misses its budgets."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from edgekit.cli import options


@click.command("gate")
@click.argument("measured", metavar="BUNDLE_OR_MEASUREMENT", type=click.Path())
@click.option(
    "--model", metavar="FILE", help="The file about to be released; must be the measured one."
)
@options.budgets
@options.profile
@click.option("--baseline", metavar="B", help="Model or bundle it must not be slower than.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML there; - is stdout.")
@click.option("--markdown", metavar="FILE", help="Write Markdown there; - is stdout.")
@options.json_file
def command(
    *,
    measured: str,
    model: str | None,
    budgets: tuple[str, ...],
    profile: str | None,
    baseline: str | None,
    junit: str | None,
    markdown: str | None,
    json_file: str | None,
) -> int:
    """Judge a bundle or a measurement against budgets, from its recorded samples alone.

    Leaves with 0 on pass, 1 on fail, 3 when it cannot be told yet, 5 when the baseline is missing.
    In GitHub Actions what does not pass is annotated, and the verdict goes into the step's summary.
    """
    from edgekit import report
    from edgekit.cli import terminal
    from edgekit.devices import LOCAL
    from edgekit.gating import gate
    from edgekit.metrics import metric
    from edgekit.result import read_measurement

    verdict = gate(measured, model=model, budgets=budgets, profile=profile, baseline=baseline)
    more = [
        f"--budget '{check.budget.text}'"
        for check in verdict.checks
        if check.needed and metric(check.budget.metric).estimator in ("percentile", "runs")
    ]
    again = more and Path(measured).is_file()
    setup = read_measurement(Path(measured)).setup if again else None
    for name, render in (
        (junit, report.junit.verdict),
        (markdown, report.markdown.verdict),
        (json_file, report.json_document),
    ):
        if name:
            terminal.write_text(name, render(verdict))
    terminal.console().print(report.console.verdict(verdict))
    if setup is not None:
        subject = (model or "MODEL", *(("--against", baseline) if baseline else ()))
        alike = options.measured_by(
            None if setup.device == LOCAL else setup.device,
            threads=setup.threads,
            batch=setup.batch,
            shapes=tuple(f"{name}={'x'.join(map(str, s))}" for name, s in setup.shapes.items()),
        )
        line = " ".join(("edgekit profile", *subject)) + alike
        terminal.next_command(" ".join((line, *more, "--json", measured)))
    terminal.tell_github(report.github.workflow_commands(verdict), report.markdown.verdict(verdict))
    return verdict.exit_code
