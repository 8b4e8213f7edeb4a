"""`edgekit.gate`: judge what was measured, from its recorded samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit import bundle, graph, judging
from edgekit import release as releases
from edgekit.errors import BaselineMissingError, UsageError
from edgekit.job import budgets_of
from edgekit.judging import Check, Verdict
from edgekit.measurement import Measurement
from edgekit.release import Budget
from edgekit.result import read_measurement


def gate(
    measured: str | Path,
    *,
    model: str | Path | None = None,
    budgets: Sequence[str] = (),
    profile: str | None = None,
    baseline: str | Path | None = None,
) -> Verdict:
    """Judge a bundle, or a measurement that `edgekit profile --json` wrote.

    Nothing is measured. A bundle is verified first: a changed file is never judged.

    Args:
        measured: a bundle's folder, or a measurement's JSON file.
        model: the file about to be released; it must be the one that was measured.
        budgets: limits in place of the profile's for the same metric.
        profile: a release profile; by default the one that the bundle was made with, and none for
            a measurement.
        baseline: a model or bundle that it must not be slower than; only runs paired with that very
            model can tell.

    Raises:
        BaselineMissingError: there is no such baseline.
        UsageError: nothing to judge by, or `model` is another file.

    Example:
        >>> import edgekit, pathlib, tempfile
        >>> from edgekit.report import json_document
        >>> measured = edgekit.profile(edgekit.demo_files().model)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "measured.json")
        ...     _ = file.write_text(json_document(measured.measurement))
        ...     verdict = edgekit.gate(file, budgets=["size<=10MiB"])
        >>> verdict.ruling
        'pass'
    """
    if model is not None and not Path(model).is_file():
        raise UsageError("no such file", where=str(model))
    recorded, standing = _read(Path(measured), profile)
    limits = budgets_of(standing, tuple(budgets))
    if not limits and baseline is None:
        raise UsageError(
            "nothing to judge by",
            where=str(measured),
            remedy="add --budget 'latency.p95<=12ms', --profile P or --baseline B",
        )
    if model is not None:
        _check_same_file(Path(model), recorded)
    verdict = judging.judge(recorded, limits)
    if baseline is None:
        return verdict
    checks = (*verdict.checks, *_regressions(recorded, baseline))
    return replace(verdict, checks=checks, ruling=judging.overall(checks))


def _read(measured: Path, profile: str | None) -> tuple[Measurement, tuple[Budget, ...]]:
    given = releases.load(profile).budgets if profile is not None else None
    if measured.is_dir() or not measured.exists():
        result = bundle.read(measured).result
        recorded = result.measurement_of(result.chosen)
        if recorded is None:
            raise UsageError("the bundle holds no measurement of its model", where=str(measured))
        return recorded, result.plan.budgets if given is None else given
    return read_measurement(measured), given or ()


def _check_same_file(model: Path, recorded: Measurement) -> None:
    found = graph.file_sha256(model)
    if found != recorded.sha256:
        raise UsageError(
            "this is not the model that was measured",
            where=str(model),
            found=f"sha256 {found[:12]}",
            expected=f"sha256 {recorded.sha256[:12]}",
            remedy="measure it with `edgekit profile`, or gate the file that was",
        )


def _regressions(recorded: Measurement, baseline: str | Path) -> tuple[Check, ...]:
    path = Path(baseline)
    if not path.exists():
        raise BaselineMissingError("there is no such baseline", where=str(baseline))
    file = bundle.read(path).model if path.is_dir() else path
    if graph.file_sha256(file) == recorded.original_sha256:
        return judging.regression(recorded)
    return tuple(
        Check(
            budget=budget,
            interval=None,
            ruling="inconclusive",
            reason=f"it was not measured against {path.name}; "
            f"run: edgekit profile MODEL --against {baseline}",
        )
        for budget in judging.regression_budgets()
    )
