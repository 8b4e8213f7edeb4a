"""`edgekit.distill`: a smaller model learns to take the place of one or several."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from onnx_ir.passes.common import LiftConstantsToInitializersPass

from edgekit import graph, passes
from edgekit.candidate import StepRecord
from edgekit.dataset import Dataset, open_data
from edgekit.distillation.distilling import taught
from edgekit.distillation.exporting import exported
from edgekit.distillation.factoring import low_rank, separable
from edgekit.distillation.recipe import Combination, Loss, Recipe
from edgekit.distillation.stretches import Stretch, spliced, stretch_of
from edgekit.distillation.team import rank
from edgekit.errors import ModelError, UsageError
from edgekit.graph import Model
from edgekit.interpreter.extra import require_torch
from edgekit.job import (
    Conditions,
    Job,
    check_batch_axis,
    check_file_out,
    open_job,
    silent,
)
from edgekit.passes import Progress
from edgekit.placement import local_target
from edgekit.pruning.schedule import polynomial
from edgekit.pruning.selection import check_share
from edgekit.reference import is_reference
from edgekit.stages import apply, context_of

AUTO, LOW_RANK = "auto", "low-rank"
_DERIVED = (AUTO, LOW_RANK)


def distill(
    teacher: str | Path | Sequence[str | Path],
    *,
    student: str | Path,
    data: str | Path,
    out: str | Path,
    keep_macs: float | None = None,
    rounds: int = 1,
    replace: str | None = None,
    epochs: float = 0.0,
    minutes: float = 0.0,
    learning_rate: float = 0.0,
    batch: int = 0,
    loss: Loss = "auto",
    temperature: float = 2.0,
    labels: float = 0.0,
    combination: Combination = "mean",
    teacher_weights: Sequence[float] = (),
    augment: bool = True,
    seed: int = 0,
    shapes: dict[str, tuple[int, ...]] | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> StepRecord:
    """Write a student that has learnt to answer as its teachers do, from unlabelled samples.

    A tenth of the samples, by hash, is held out: the weights that come nearest to the teachers'
    answers on it are kept. Where none come nearer than the start, the student is written as it
    was, and the record says `changed=False`. A training that was ended goes on where it was when
    the same call is made again; what it needs for that lies in `OUT.training` until it is done.

    Args:
        teacher: path of an ONNX file, or several; `data` has the names of the first one's inputs.
        student: path of an ONNX file whose weights are trained; `auto`, derived from the first
            teacher by pruning it to `keep_macs`; `low-rank`, derived from it by making two layers
            with fewer channels between them of one; or `module:callable` that returns a torch
            module.
        data: samples; labels are looked at only where `labels` is above 0.
        out: file to write.
        keep_macs: share of the first teacher's multiply-adds that a derived student keeps.
        rounds: in which an `auto` student is pruned, by ever less, and trained after each; each
            lasts as long as `epochs` say, and an equal part of `minutes`.
        replace: `FIRST..LAST`, nodes of the teacher: what lies between them, both included, is
            replaced by the student, which learns what goes in and comes out there; `auto` makes
            its dense convolutions depthwise-separable. The record tells of whole outputs, too.
        epochs: how often all samples are seen; 0: as suits their number, or `minutes`.
        minutes: longest time for all of it; 0: no limit.
        learning_rate: largest one; 0: found by short trials.
        batch: samples a step; 0: by the size of a sample.
        loss: `mse`, `kl`, or `auto`; see `edgekit.distillation.recipe.Recipe`.
        temperature: that softens the classes of `kl`.
        labels: share of the loss that labels have, 0 to 1.
        combination: of several teachers' answers: `mean`, or `confidence`.
        teacher_weights: in the mean, one a teacher.
        augment: images are shifted, and mirrored where that leaves the teachers' answers.
        seed: of all that is drawn.
        shapes: shapes of inputs with dynamic axes.
        force: replace a file that exists.
        progress: called with (what is being done, done so far, in all).

    Returns:
        how near the student came, and by what.

    Raises:
        EdgekitError: bad input, torch is not installed, or `out` cannot be written.
    """
    require_torch("distill")
    started = time.monotonic()
    recipe = Recipe(
        epochs=epochs,
        minutes=minutes,
        learning_rate=learning_rate,
        batch=batch,
        loss=loss,
        temperature=temperature,
        labels=labels,
        combination=combination,
        teacher_weights=tuple(teacher_weights),
        augment=augment,
        seed=seed,
    )
    files = [teacher] if isinstance(teacher, str | Path) else list(teacher)
    _check_call(files, str(student), keep_macs, rounds, replace)
    written = Path(out)
    check_file_out(written, force=force)
    progress("checking the models", 0, 0)
    teachers = [graph.load(file) for file in files]
    progress("checking the data", 0, 0)
    samples = open_data(data, teachers[0])
    check_batch_axis(teachers[0], samples)
    conditions = Conditions(device=None, threads=1, batch=1, shapes=shapes, progress=progress)
    own = rank()
    folder = written.with_name(f"{written.name}.training" + (f"-{own}" if own else ""))
    with open_job(Path(files[0]), teachers[0], local_target(), conditions, data=samples) as job:
        if replace is None:
            learning = _Learning(job=job, data=samples, folder=folder, recipe=recipe)
            if student == AUTO and keep_macs is not None:
                start, derived = _pruned(keep_macs, rounds, teachers, learning)
            else:
                start, derived = _start(str(student), keep_macs, learning)
            recipe = dataclasses.replace(recipe, minutes=minutes / rounds)
            found = taught(start, teachers, samples, folder, recipe, progress=progress)
        else:
            whole, _record = apply(passes.Simplify(), job.model, context_of(job, samples))
            stretch = stretch_of(whole, replace)
            start, derived = _replaced(whole, stretch, str(student), job)
            found = taught(
                start, [whole], samples, folder, recipe, progress=progress, stretch=stretch
            )
        made = found.model
        if replace is None and _normalized(made):
            made, _record = apply(passes.Simplify(), made, context_of(job, samples))
        if own == 0:
            graph.save(made, written)
    shutil.rmtree(folder, ignore_errors=True)
    said = {"student": str(student), "keep_macs": keep_macs, "rounds": rounds, "replace": replace}
    return StepRecord(
        name="distill",
        params={**said, **asdict(recipe)},
        changed=found.better,
        facts={**derived, **found.facts},
        seconds=round(time.monotonic() - started, 3),
    )


def _check_call(
    files: Sequence[str | Path],
    student: str,
    keep_macs: float | None,
    rounds: int,
    replace: str | None,
) -> None:
    if not files:
        raise UsageError("no teacher", where="--teacher", remedy="name one or several ONNX files")
    if keep_macs is not None:
        check_share(keep_macs, where="--keep-macs")
    if rounds < 1 or (rounds > 1 and (student != AUTO or replace is not None)):
        raise UsageError(
            "goes with a whole student that is auto, and is 1 or more",
            where="--rounds",
            found=f"{rounds} --student {student}",
        )
    if replace is not None:
        if len(files) > 1 or keep_macs is not None or student == LOW_RANK or is_reference(student):
            raise UsageError(
                "goes with one teacher and a student that is auto or an ONNX file",
                where="--replace",
                found=f"{len(files)} teachers, --student {student}"
                + (f" --keep-macs {keep_macs:g}" if keep_macs is not None else ""),
            )
    elif (student in _DERIVED) != (keep_macs is not None):
        raise UsageError(
            "goes with --student auto or low-rank, and with those alone",
            where="--keep-macs",
            found=f"--student {student}" + (f" --keep-macs {keep_macs:g}" if keep_macs else ""),
            remedy="say how much a derived student keeps, e.g. --keep-macs 0.25",
        )


def _replaced(
    whole: Model, stretch: Stretch, student: str, job: Job
) -> tuple[Model, dict[str, object]]:
    """Return the model with a student in place of a stretch, and what is to be told of that."""
    facts: dict[str, object] = {}
    if student == AUTO:
        start, facts["convolutions made separable"] = separable(whole, stretch)
    else:
        start = spliced(whole, stretch, graph.load(student))
    before, after = (graph.costs(one, job.running.shapes) for one in (whole, start))
    return start, {**facts, "multiply-adds kept": round(after.macs / max(before.macs, 1), 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learning:
    """The first teacher's job, the samples, and where and how a student learns."""

    job: Job
    data: Dataset
    folder: Path
    recipe: Recipe


def _start(
    student: str, keep_macs: float | None, learning: _Learning
) -> tuple[Model, dict[str, object]]:
    """Return the student before it learns, and what is to be told of how it was derived."""
    job, context = learning.job, context_of(learning.job, learning.data)
    if student == LOW_RANK and keep_macs is not None:
        whole, _record = apply(passes.Simplify(), job.model, context)
        shapes = job.running.shapes
        start, count = low_rank(whole, keep_macs, shapes)
        before, after = (graph.costs(one, shapes).macs for one in (whole, start))
        kept = round(after / max(before, 1), 4)
        return start, {"layers made low-rank": count, "multiply-adds kept": kept}
    if is_reference(student) and not Path(student).exists():
        job.progress("exporting the student", 0, 0)
        loaded = exported(student, job.model, learning.data, job.workspace)
    else:
        loaded = graph.load(student)
    if _normalized(loaded):
        lifted = loaded.editable()
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(lifted)
        return Model(ir=lifted, name=loaded.name), {}
    simplified, _record = apply(passes.Simplify(), loaded, context)
    return simplified, {}


def _normalized(model: Model) -> bool:
    """Say whether a model has statistics of samples, which are to move while it learns."""
    return any(node.op_type == "BatchNormalization" for node in model.ir.graph)


def _pruned(
    keep_macs: float, rounds: int, teachers: Sequence[Model], learning: _Learning
) -> tuple[Model, dict[str, object]]:
    """Return the pruned student before its last round, and what is to be told of it.

    What an earlier call has pruned and trained is used again.
    """
    job, folder = learning.job, learning.folder
    recipe = dataclasses.replace(learning.recipe, minutes=learning.recipe.minutes / rounds)
    told = (
        f"{graph.file_sha256(job.file)} {keep_macs} {rounds} {learning.data.source}"
        f" {len(learning.data)}" + (f" {recipe}" if rounds > 1 else "")
    )
    key, known = hashlib.sha256(told.encode()).hexdigest(), folder / "derived.key"
    if not known.is_file() or known.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        known.write_text(key, encoding="utf-8")
    context = context_of(job, learning.data)
    model, _record = apply(passes.Simplify(), job.model, context)
    whole = graph.costs(model, job.running.shapes).macs
    for place, share in enumerate(polynomial(1.0, keep_macs, rounds + 1)[1:], 1):
        pruned, trained = (folder / f"{what}{place}.onnx" for what in ("pruned", "trained"))
        left = graph.costs(model, job.running.shapes).macs / max(whole, 1)
        if share >= left:
            continue
        if not pruned.is_file():
            made, record = apply(passes.build("prune", {"keep_macs": share / left}), model, context)
            if not record.changed and place == 1:
                raise ModelError(
                    "nothing of it can be pruned",
                    where=job.model.name,
                    remedy=f"`edgekit inspect {job.file} --groups` says why; name a student of"
                    " your own",
                )
            graph.save(made, pruned)
        model = graph.load(pruned)
        if place < rounds and not trained.is_file():
            own = folder / f"round{place}"
            found = taught(model, teachers, learning.data, own, recipe, progress=job.progress)
            graph.save(found.model, trained)
            shutil.rmtree(own)
        if place < rounds:
            model = graph.load(trained)
    kept = round(graph.costs(model, job.running.shapes).macs / max(whole, 1), 4)
    return model, {"rounds": rounds, "multiply-adds kept": kept}
