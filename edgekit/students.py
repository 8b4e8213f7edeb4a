"""`edgekit.distill`: a smaller model learns to take the place of one or several."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.applying import apply, context_of
from edgekit.candidate import StepRecord
from edgekit.dataset import open_data
from edgekit.deriving import AUTO, LOW_RANK, Learning, begun, normalized, pruned, replaced
from edgekit.distillation.distilling import taught
from edgekit.distillation.recipe import Combination, Loss, Matching, Recipe
from edgekit.distillation.stretches import stretch_of
from edgekit.distillation.team import members, rank
from edgekit.errors import UsageError
from edgekit.interpreter.extra import require_torch
from edgekit.job import (
    Conditions,
    check_batch_axis,
    check_file_out,
    open_job,
    silent,
)
from edgekit.passes import Progress
from edgekit.placement import target_of
from edgekit.pruning.selection import LATENCY, limits_of, option_of
from edgekit.reference import is_reference

_BUDGETS = {AUTO: ("keep_macs", "keep_params", LATENCY), LOW_RANK: ("keep_macs",)}


def distill(
    teacher: str | Path | Sequence[str | Path],
    *,
    student: str | Path,
    data: str | Path,
    out: str | Path,
    keep_macs: float | None = None,
    keep_params: float | None = None,
    max_latency_s: float | None = None,
    rounds: int = 1,
    replace: str | None = None,
    epochs: float = 0.0,
    minutes: float = 0.0,
    learning_rate: float = 0.0,
    batch: int = 0,
    loss: Loss = "auto",
    temperature: float = 2.0,
    labels: float = 0.0,
    combination: Combination = "auto",
    teacher_weights: Sequence[float] = (),
    output_weights: Mapping[str, float] | None = None,
    features: Mapping[str, str] | None = None,
    features_by: Matching = "projection",
    augment: bool = True,
    seed: int = 0,
    target: str | None = None,
    device: str | None = None,
    inventory: str | Path | None = None,
    threads: int = 1,
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
            teacher by pruning it to `keep_macs`, `keep_params` or `max_latency_s`; `low-rank`,
            derived from it to `keep_macs` by making two layers with fewer channels between them
            of one; or `module:callable` that returns a torch module.
        data: samples; labels are looked at only where `labels` is above 0.
        out: file to write.
        keep_macs: share of the first teacher's multiply-adds that a derived student keeps.
        keep_params: share of its parameters.
        max_latency_s: latency to reach, in seconds, as measured on the device; what the student
            has in the end is told, and is nothing that a verdict rests on.
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
        combination: of several teachers' answers: `mean`, `agreement`, `confidence` or `auto`;
            see `edgekit.distillation.recipe.Recipe`.
        teacher_weights: in the mean, one a teacher.
        output_weights: what an output counts for in the loss, by name; 1 where not given.
        features: values within the student that are matched while it learns, by name, and what the
            first teacher calls them; see `edgekit.distillation.recipe.Recipe`.
        features_by: `projection` or `attention`.
        augment: images are mirrored, where that leaves the teachers' answers, and shifted.
        seed: of all that is drawn.
        target: whose kernels say how counts are rounded; the device's by default.
        device: what measures; this machine where it is of the target's kind. It is not held
            while a student of one round learns.
        inventory: file with the devices; `EDGEKIT_INVENTORY` or the user's own by default.
        threads: intra-op threads of what is measured, by one sample an inference.
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
        output_weights=output_weights or {},
        features=features or {},
        features_by=features_by,
        augment=augment,
        seed=seed,
    )
    files = [teacher] if isinstance(teacher, str | Path) else list(teacher)
    budget = limits_of(
        {"keep_macs": keep_macs, "keep_params": keep_params, "max_latency_s": max_latency_s}
    )
    _check_call(files, str(student), budget, rounds, replace)
    written = Path(out)
    check_file_out(written, force=force)
    progress("checking the models", 0, 0)
    teachers = [graph.load(file) for file in files]
    progress("checking the data", 0, 0)
    samples = open_data(data, teachers[0])
    check_batch_axis(teachers[0], samples)
    own = rank()
    conditions = Conditions(
        device=device if own == 0 else None,
        threads=threads,
        batch=1,
        shapes=shapes,
        progress=progress,
        inventory=inventory,
    )
    the_target = target_of(device, inventory) if target is None else targets.load(target)
    opened = partial(open_job, Path(files[0]), teachers[0], the_target, conditions, data=samples)
    folder = written.with_name(f"{written.name}.training" + (f"-{own}" if own else ""))
    stretch = None
    with opened() as job:
        learning = Learning(job=job, files=files, data=samples, folder=folder, recipe=recipe)
        if replace is not None:
            whole, _record = apply(passes.Simplify(), job.model, context_of(job, samples))
            teachers, stretch = [whole], stretch_of(whole, replace)
            start, derived = replaced(whole, stretch, str(student), job)
        elif student == AUTO:
            start, derived = pruned(budget, rounds, teachers, learning)
        else:
            start, derived = begun(str(student), budget, learning)
    others = (rounds - 1) * 60 * minutes / rounds
    found = taught(
        start,
        teachers,
        samples,
        folder,
        dataclasses.replace(recipe, minutes=minutes / rounds),
        progress=progress,
        stretch=stretch,
        spent_s=max(time.monotonic() - started - others, 0.0),
    )
    made = found.model
    if own == 0:
        with opened() as job:
            context = context_of(job, samples)
            if replace is None and normalized(made):
                made, _record = apply(passes.Simplify(), made, context)
            made, _record = apply(passes.Layout(), made, context)
            if max_latency_s is not None:
                reached = context.seconds_of([start, made], "decide")[1]
                derived["latency reached, us"] = round(reached * 1e6, 1)
            graph.save(made, written)
    shutil.rmtree(folder, ignore_errors=True)
    said = {"student": str(student), **budget, "rounds": rounds, "replace": replace}
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
    budget: Mapping[str, float],
    rounds: int,
    replace: str | None,
) -> None:
    if not files:
        raise UsageError("no teacher", where="--teacher", remedy="name one or several ONNX files")
    if rounds < 1 or (rounds > 1 and (student != AUTO or replace is not None)):
        raise UsageError(
            "goes with a whole student that is auto, and is 1 or more",
            where="--rounds",
            found=f"{rounds} --student {student}",
        )
    if student == AUTO and replace is None and members() > 1:
        raise UsageError(
            "several processes cannot prune alike",
            where="--student",
            found=student,
            remedy="run `edgekit prune` first, and name the file that it writes",
        )
    asked = " and ".join(f"{option_of(name)} {limit:g}" for name, limit in budget.items())
    if replace is not None:
        if len(files) > 1 or budget or student == LOW_RANK or is_reference(student):
            raise UsageError(
                "goes with one teacher and a student that is auto or an ONNX file",
                where="--replace",
                found=f"{len(files)} teachers, --student {student} {asked}".rstrip(),
            )
        return
    known = _BUDGETS.get(student, ())
    if budget.keys() - set(known) or len(budget) != bool(known):
        raise UsageError(
            "how much stays is said of a derived student alone, and in one way",
            where=f"--student {student}",
            found=asked or "no budget",
            expected=" or ".join(map(option_of, known)) or "no budget",
            remedy="e.g. --student auto --keep-macs 0.25",
        )
