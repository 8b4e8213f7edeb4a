"""`edgekit.profile`: measure a model on a device, alone or against another."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import onnx_ir as ir

from edgekit import bench, bundle, graph, judging, measuring, runtimes
from edgekit.candidate import Candidate
from edgekit.dataset import Dataset, open_data
from edgekit.errors import BaselineMissingError, UsageError
from edgekit.graph import Model
from edgekit.job import Conditions, Job, budgets_of, open_job, original_candidate, silent
from edgekit.judging import Check
from edgekit.measurement import Accuracy, Block, Interval, Measurement
from edgekit.measuring import accuracies, compare, first_look, setup_of
from edgekit.metrics import METRICS
from edgekit.passes import Progress
from edgekit.placement import target_of
from edgekit.release import Budget
from edgekit.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """A model measured on a device.

    Attributes:
        figures: the interval of every metric that could be had, by name.
        regressions: whether it is slower than what it was measured against; empty when alone.
    """

    model: Model
    measurement: Measurement
    figures: dict[str, Interval]
    regressions: tuple[Check, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or what the comparison rules: 1 slower, 3 cannot tell."""
        if not self.regressions:
            return 0
        return judging.EXIT_CODES[judging.overall(self.regressions)]


def profile(
    model: str | Path,
    *,
    against: str | Path | None = None,
    device: str | None = None,
    inventory: str | Path | None = None,
    runtime: str | None = None,
    evaluation: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
    budgets: Sequence[str] = (),
    per_layer: bool = False,
    sustain_s: float = 0.0,
    progress: Progress = silent,
) -> Profiled:
    """Measure `model`: latency, throughput, memory, load time, and accuracy where data is given.

    Args:
        model: an ONNX file, a TFLite file or a bundle. Data for a TFLite file, and shapes other
            than its own, need the ONNX model that it was made of: name that with `against`.
        against: a model to compare with, in paired blocks of four fresh processes, until it is
            settled whether `model` is slower. Alone, the model is measured against itself, which
            shows how much the machine scatters.
        device: what measures; this machine by default.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        runtime: what must run the model; what runs such files by default.
        evaluation: samples to judge answers by.
        threads: intra-op threads.
        batch: samples per inference.
        shapes: shapes of inputs with dynamic axes.
        budgets: limits, as `gate` takes them: measured until each can be ruled, 30 blocks at most.
        per_layer: profile it layer by layer, too, beside a roofline of the device; with samples
            to judge by, also look whether the device computes what this host does.
        sustain_s: let it run for so long, too, and find its steady state; 0: do not.
        progress: called with (what is being done, done so far, in all).

    Raises:
        EdgekitError: bad input, or the device failed.

    Example:
        >>> import edgekit
        >>> measured = edgekit.profile(edgekit.demo_files().model)
        >>> measured.figures["latency.p50"].low > 0
        True
    """
    file = _model_file(model)
    other = _baseline_file(against) if against is not None else file
    limits = budgets_of((), tuple(budgets))
    progress("checking the model", 0, 0)
    target = target_of(device, inventory)
    if runtime is not None:
        target = runtimes.asked_for(runtime, target)
        _check_runtime(runtime, target, file, answers=evaluation is not None)
    loaded = _seen_from_outside(file, other)
    data = open_data(evaluation, loaded) if evaluation is not None else None
    conditions = Conditions(
        device=device,
        threads=threads,
        batch=batch,
        shapes=shapes,
        progress=progress,
        inventory=inventory,
    )
    if per_layer:
        _check_profiler(target, file)
    with open_job(file, loaded, target, conditions, data=data) as job:
        return _measured(job, other, data, limits, per_layer=per_layer, sustain_s=sustain_s)


def _measured(
    job: Job,
    other: Path,
    data: Dataset | None,
    budgets: tuple[Budget, ...],
    *,
    per_layer: bool,
    sustain_s: float,
) -> Profiled:
    baseline = original_candidate(other)
    subject = replace(original_candidate(job.file), name=job.file.name)
    alone = subject.sha256 == baseline.sha256
    limits = budgets if alone else (*judging.regression_budgets(), *budgets)

    def settled(blocks: Sequence[Block]) -> bool:
        return judging.settled(blocks, limits, batch=job.running.batch)

    layers = measuring.layers(job) if per_layer else None
    notes = [measuring.divergence(job, data)] if per_layer and data is not None else []
    null_blocks = compare(job, baseline, baseline, settled if alone else first_look)
    blocks = null_blocks if alone else compare(job, baseline, subject, settled)
    measurement = Measurement(
        candidate=subject.name,
        sha256=subject.sha256,
        size_bytes=subject.size_bytes,
        original_sha256=baseline.sha256,
        original_size_bytes=baseline.size_bytes,
        setup=setup_of(job, subject.file),
        blocks=blocks,
        null_blocks=null_blocks,
        accuracy=None if data is None else _accuracy(job, subject, baseline, data),
        energy=None if _times_only(job) else measuring.energy(job, subject),
        layers=layers,
        sustained=measuring.sustain(job, subject, sustain_s) if sustain_s else None,
        notes=(*notes, *_told_apart(subject, blocks)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    found = {of.name: judging.estimate(of.name, measurement).interval for of in METRICS}
    return Profiled(
        model=job.model,
        measurement=measurement,
        figures={name: interval for name, interval in found.items() if interval is not None},
        regressions=() if alone else judging.regression(measurement),
    )


def _accuracy(job: Job, subject: Candidate, baseline: Candidate, data: Dataset) -> Accuracy:
    found = accuracies(job, (baseline, subject), data, bench.scorer("top1", "higher"))
    return found[subject.name]


def _model_file(named: str | Path) -> Path:
    path = Path(named)
    return bundle.read(path).model if path.is_dir() else path


def _baseline_file(named: str | Path) -> Path:
    if not Path(named).exists():
        raise BaselineMissingError(
            "there is no such model to compare with", where=str(named), remedy="check --against"
        )
    return _model_file(named)


def _check_runtime(named: str, target: Target, file: Path, *, answers: bool) -> None:
    found = runtimes.runtime_for(target, file).name
    if named != found:
        raise UsageError(
            "this runtime does not run such a file",
            where="--runtime",
            found=repr(named),
            expected=f"{found} for {file.name}",
        )
    if named == runtimes.Trtexec.name and answers:
        raise UsageError(
            f"{named} tells times and no answers",
            where="--runtime",
            remedy="leave out --eval, or --runtime",
        )


def _times_only(job: Job) -> bool:
    """Say whether inference cannot be watched from outside, since trtexec does more than that."""
    target = job.running.target
    return runtimes.runtime_for(target, job.file).name == runtimes.Trtexec.name


def _told_apart(subject: Candidate, blocks: Sequence[Block]) -> Iterator[str]:
    """Say what a latency consists of, where the runtime tells it."""
    runs = [run.parts_s for block in blocks for run in block.runs if run.role == "candidate"]
    if runs and all(runs):
        parts = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        told = ", ".join(f"{name} {1e3 * part:.3f} ms" for name, part in parts.items())
        yield f"{subject.name}, medians: {told}; enqueue overlaps with the rest"


def _check_profiler(target: Target, file: Path) -> None:
    found = runtimes.runtime_for(target, file).name
    if found == runtimes.LiteRt.name:
        raise UsageError(
            f"the Python package of {found} tells no times by layer",
            where="--per-layer",
            found=file.name,
            remedy="profile the ONNX model that it was made of",
        )


def _seen_from_outside(file: Path, other: Path) -> Model:
    """Return the ONNX model that tells inputs and metadata; an empty one where there is none."""
    readable = [each for each in (file, other) if each.suffix != ".tflite"]
    if not readable:
        return Model(ir=ir.Model(ir.Graph([], [], nodes=[]), ir_version=9), name=file.name)
    loaded = graph.load(readable[0])
    if len(readable) > 1 and other != file:
        _check_same_inputs(loaded, graph.load(other))
    return loaded


def _check_same_inputs(model: Model, other: Model) -> None:
    mine = {spec.name: spec.dtype for spec in model.inputs}
    theirs = {spec.name: spec.dtype for spec in other.inputs}
    if mine != theirs:
        raise UsageError(
            "the two models have different inputs",
            where="--against",
            found=str(theirs),
            expected=str(mine),
        )
