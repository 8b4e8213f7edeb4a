"""`edgekit.optimize` on one page: load, plan, apply, measure, judge, bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit import bench, bundle, graph, judging, passes, report
from edgekit import release as releases
from edgekit import target as targets
from edgekit.conclusion import (
    Request,
    concluded,
    next_command,
    notes,
    peak_memory_bytes,
    planned,
)
from edgekit.dataset import Dataset, held_out, open_data
from edgekit.exporting import check_format, check_ready, make_tflite_candidates
from edgekit.graph import Model
from edgekit.job import (
    Conditions,
    budgets_of,
    check_batch_axis,
    open_job,
    original_candidate,
    silent,
)
from edgekit.making import make_candidates
from edgekit.measuring import Judge, measure
from edgekit.passes import Progress
from edgekit.release import ReleaseProfile
from edgekit.result import Result
from edgekit.runtimes import as_litert

DEFAULT_PROFILE = "balanced"


def optimize(
    model: str | Path,
    *,
    target: str,
    data: str | Path,
    evaluation: str | Path | None = None,
    profile: str = DEFAULT_PROFILE,
    device: str | None = None,
    inventory: str | Path | None = None,
    budgets: Sequence[str] = (),
    threads: int = 1,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
    format: str = "onnx",  # noqa: A002  # what the command calls it
    out: str | Path | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Result:
    """Compress `model` for `target`, measure every candidate, and write the best as a bundle.

    Args:
        model: path of an ONNX file.
        target: name of a target, or path of its TOML file.
        data: samples to calibrate with; labels in it are ignored. See `edgekit.dataset`.
        evaluation: samples to judge by, labelled if accuracy is to be judged; without it a fifth
            of `data` is held out and accuracy budgets stay inconclusive.
        profile: name of a release profile, or path of its TOML file.
        device: what measures; this machine when it is of the target's kind.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        budgets: limits such as `latency.p95<=12ms`, in place of the profile's for that metric.
        threads: intra-op threads; part of the plan, since what pays at 1 may not at 2.
        batch: samples per timed inference.
        shapes: shapes of inputs with dynamic axes, for timing.
        format: `onnx`, or `tflite`: all candidates are TFLite files for just these shapes, made by
            onnx2tf in an environment that `EDGEKIT_ONNX2TF` names, and measured under LiteRT.
        out: folder of the bundle; `MODEL-TARGET.bundle` in the current directory by default.
        force: replace a finished bundle.
        dry_run: check everything and say what would be done, but change and measure nothing.
        progress: called with (what is being done, done so far, in all).

    Returns:
        the result as it is in the bundle, with verdict, reason and exit code.

    Raises:
        EdgekitError: bad input, a model that breaks the runtime, or an output that cannot be
            written. Nothing is left half-written.

    Example:
        >>> import edgekit, tempfile
        >>> demo = edgekit.demo_files()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = edgekit.optimize(
        ...         demo.model, target="jetson", data=demo.calibration, out=folder + "/a.bundle"
        ...     )
        >>> result.ruling
        'inconclusive'
    """
    started = time.monotonic()
    file = Path(model)
    check_format(format)
    request = _read(target, profile, budgets)
    if format == "tflite":
        request = replace(request, target=as_litert(request.target))
    folder = Path(out) if out is not None else Path(f"{file.stem}-{request.target.name}.bundle")
    bundle.check_out(folder, force=force)
    loaded, calibration, judged_by = _load(file, data, evaluation, request.profile, progress)
    conditions = Conditions(
        device=device,
        threads=threads,
        batch=batch,
        shapes=shapes,
        progress=progress,
        inventory=inventory,
    )
    with open_job(file, loaded, request.target, conditions, data=calibration) as job:
        original = original_candidate(file)
        if format == "tflite":
            check_ready(job)
        if dry_run:
            return planned(job, request, original)
        make = make_tflite_candidates if format == "tflite" else make_candidates
        made = make(job, original, request.steps, calibration)
        judge = Judge(
            scorer=request.scorer,
            settled=lambda blocks: judging.settled(blocks, request.budgets, batch=batch),
            untimed=lambda measurement: judging.untimed(measurement, request.budgets),
            energy=any(budget.metric == "energy" for budget in request.budgets),
        )
        measurements = measure(job, (original, *made.candidates), judged_by, judge)
        result = concluded(job, request, original, made, measurements)
        result = replace(
            result,
            notes=(*result.notes, *notes(evaluation, judged_by)),
            next_command=next_command(job, folder),
            seconds=round(time.monotonic() - started, 1),
            peak_memory_bytes=peak_memory_bytes(),
        )
        bundle.write(
            folder,
            result,
            result.chosen_candidate.file,
            reports=report.pages(result),
            force=force,
        )
    return result


def _read(target: str, profile: str, budgets: Sequence[str]) -> Request:
    the_profile = releases.load(profile)
    return Request(
        target=targets.load(target),
        profile=the_profile,
        steps=tuple(passes.build(step.name, step.params) for step in the_profile.steps),
        budgets=budgets_of(the_profile.budgets, tuple(budgets)),
        scorer=bench.scorer(the_profile.metric, the_profile.metric_better),
    )


def _load(
    file: Path,
    data: str | Path,
    evaluation: str | Path | None,
    profile: ReleaseProfile,
    progress: Progress,
) -> tuple[Model, Dataset, Dataset]:
    progress("checking the model", 0, 0)
    loaded = graph.load(file)
    progress("checking the data", 0, 0)
    images = profile.preprocessing
    calibration = open_data(data, loaded, preprocessing=images)
    check_batch_axis(loaded, calibration)
    if evaluation is None:
        return (loaded, *held_out(calibration))
    return loaded, calibration, open_data(evaluation, loaded, preprocessing=images)
