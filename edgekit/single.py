"""`edgekit.quantize` and `edgekit.prune`: one step alone, as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.applying import apply, context_of
from edgekit.candidate import StepRecord
from edgekit.dataset import open_data
from edgekit.errors import ModelError, UsageError
from edgekit.exporting import check_format, check_ready, copy_out, int8_form
from edgekit.job import (
    Conditions,
    check_batch_axis,
    check_file_out,
    open_job,
    silent,
)
from edgekit.passes import Pass, Progress
from edgekit.placement import target_of
from edgekit.pruning.criteria import BatchNormScale
from edgekit.pruning.selection import limits_of
from edgekit.runtimes import as_litert
from edgekit.target import Target


def quantize(
    model: str | Path,
    *,
    target: str,
    data: str | Path,
    out: str | Path,
    device: str | None = None,
    inventory: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
    format: str = "onnx",  # noqa: A002  # what the command calls it
    explain: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> StepRecord:
    """Write the static int8 form of `model` in the form that its target's kernels want.

    Args:
        model: path of an ONNX file.
        target: name of a target, or path of its TOML file.
        data: samples to calibrate with.
        out: file to write. Nothing is written when no form of int8 pays; the record says why.
        device: what decides by measuring where int8 pays; this machine by default, and the
            target's facts where nothing can be measured.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        threads: intra-op threads.
        batch: samples per inference.
        shapes: shapes of inputs with dynamic axes.
        format: `onnx`, or `tflite`: every operator with an int8 kernel in LiteRT, converted by
            onnx2tf in an environment that `EDGEKIT_ONNX2TF` names, for just these shapes, and
            written only if LiteRT answers as the model does, at an SQNR of 25 dB or more.
        explain: put what each layer alone loses, why, and what was done about it into the
            record's fact `explained`, those that cost most first.
        force: replace a file that exists.
        progress: called with (what is being done, done so far, in all).

    Returns:
        what was quantized, what was left alone and why.

    Raises:
        EdgekitError: bad input, or `out` cannot be written.

    Example:
        >>> import edgekit, pathlib, tempfile
        >>> demo = edgekit.demo_files()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = pathlib.Path(folder, "int8.onnx")
        ...     record = edgekit.quantize(
        ...         demo.model, target="jetson", data=demo.calibration, out=out
        ...     )
        ...     out.stat().st_size < demo.model.stat().st_size
        True
    """
    conditions = Conditions(
        device=device,
        threads=threads,
        batch=batch,
        shapes=shapes,
        progress=progress,
        inventory=inventory,
    )
    the_target, written = targets.load(target), Path(out)
    check_file_out(written, force=force)
    check_format(format, written)
    if explain and format != "onnx":
        raise UsageError(
            "only the ONNX form can be explained",
            where="--explain",
            found=f"--format {format}",
            remedy="leave one of them out",
        )
    if format == "tflite":
        return _tflite(Path(model), the_target, conditions, data=data, out=written)
    step = passes.Quantize(explain=explain)
    return _alone(step, Path(model), the_target, conditions, data=data, out=written)


def prune(
    model: str | Path,
    *,
    out: str | Path,
    data: str | Path | None = None,
    keep_macs: float | None = None,
    keep_params: float | None = None,
    max_latency_s: float | None = None,
    ratios: Mapping[str, float] | None = None,
    criterion: str = "obs",
    granularity: str = "mixed",
    rounds: int = 0,
    schedule: str = "iterative",
    ignore: Sequence[str] = (),
    target: str | None = None,
    device: str | None = None,
    inventory: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> StepRecord:
    """Write a physically smaller form of `model`, its weights refitted to keep the answers.

    Exactly one of `keep_macs`, `keep_params`, `max_latency_s` and `ratios` says how much goes.

    Args:
        model: path of an ONNX file.
        out: file to write.
        data: samples to refit weights and to rank channels with; labels in it are ignored.
            Needed by all that looks at activations.
        keep_macs: share of the multiply-adds that stays, between 0 and 1.
        keep_params: share of the parameters that stays, between 0 and 1.
        max_latency_s: latency to reach, in seconds, as measured on the device.
        ratios: share of channels that goes, by name or pattern of the layer that makes them.
        criterion: how channels are ranked; one of `edgekit.pruning.criteria.CRITERIA`.
        granularity: what goes: `mixed`, channels and, where that costs less, whole residual
            blocks; `channels` alone; `heads`, attention loses whole heads instead of a part of
            each; or `blocks`, whole residual blocks and layers alone.
        rounds: in how many steps it is done; 0 is one, and two as well where less than 40% is to
            stay, of which the better is taken.
        schedule: of several rounds: `iterative`, each removes the same part of what is left;
            `polynomial`, much at first, then ever less, which takes at least 2 `rounds`.
        ignore: names or patterns of layers whose channels all stay.
        target: whose kernels say how counts are rounded; the device's by default.
        device: what measures; this machine where it is of the target's kind.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        threads: intra-op threads.
        batch: samples per inference.
        shapes: shapes of inputs with dynamic axes.
        force: replace a file that exists.
        progress: called with (what is being done, done so far, in all).

    Returns:
        what was removed, what was left alone and why.

    Raises:
        EdgekitError: bad input, nothing that can be pruned, a budget that cannot be reached, or
            `out` cannot be written.

    Example:
        >>> import edgekit, pathlib, tempfile
        >>> demo = edgekit.demo_files()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = pathlib.Path(folder, "pruned.onnx")
        ...     record = edgekit.prune(demo.model, data=demo.calibration, keep_macs=0.5, out=out)
        ...     out.stat().st_size < demo.model.stat().st_size
        True
    """
    given = {"keep_macs": keep_macs, "keep_params": keep_params, "max_latency_s": max_latency_s}
    step = passes.build(
        "prune",
        {
            **limits_of(given),
            "ratios": dict(ratios or {}),
            "criterion": criterion,
            "granularity": granularity,
            "rounds": rounds,
            "schedule": schedule,
            "ignore": tuple(ignore),
        },
    )
    conditions = Conditions(
        device=device,
        threads=threads,
        batch=batch,
        shapes=shapes,
        progress=progress,
        inventory=inventory,
    )
    the_target = target_of(device, inventory) if target is None else targets.load(target)
    file, written = Path(model), Path(out)
    check_file_out(written, force=force)
    record = _alone(step, file, the_target, conditions, data=data, out=written)
    if not record.changed:
        reasons = Counter(skip.reason for skip in record.skipped).most_common(1)
        raise ModelError(
            "nothing was pruned",
            where=file.name,
            found=", ".join(f"{reason} ({count} times)" for reason, count in reasons),
            remedy=f"`edgekit inspect {file} --groups` says what is pinned and why",
        )
    return record


def _alone(
    step: Pass,
    file: Path,
    target: Target,
    conditions: Conditions,
    *,
    data: str | Path | None,
    out: Path,
) -> StepRecord:
    """Simplify a model, apply one step, and write what it made; nothing when it changed nothing."""
    conditions.progress("checking the model", 0, 0)
    loaded = graph.load(file)
    calibration = None
    if data is not None:
        conditions.progress("checking the data", 0, 0)
        calibration = open_data(data, loaded)
        check_batch_axis(loaded, calibration)
    with open_job(file, loaded, target, conditions, data=calibration) as job:
        context = context_of(job, calibration)
        by_norms = isinstance(step, passes.Prune) and step.criterion == BatchNormScale.name
        simplified, _record = apply(passes.Simplify(keep_norms=by_norms), loaded, context)
        result, record = apply(step, simplified, context)
        if record.changed:
            if by_norms:
                result, _record = apply(passes.Simplify(), result, context)
            result, layout = apply(passes.Layout(), result, context)
            spread = {"gates spread": len(layout.facts["gates spread"])} if layout.changed else {}
            record = replace(record, facts={**record.facts, **spread})
            graph.save(result, out)
    return record


def _tflite(
    file: Path, target: Target, conditions: Conditions, *, data: str | Path, out: Path
) -> StepRecord:
    """Write the int8 TFLite form of a model."""
    target = as_litert(target)
    conditions.progress("checking the model", 0, 0)
    loaded = graph.load(file)
    calibration = open_data(data, loaded)
    check_batch_axis(loaded, calibration)
    with open_job(file, loaded, target, conditions, data=calibration) as job:
        check_ready(job)
        made = int8_form(job, calibration)
        copy_out(made.file, out)
    return made.record
