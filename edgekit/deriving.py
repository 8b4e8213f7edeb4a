"""Students before they learn: given, exported, pruned, of low rank, or with a part replaced."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx_ir.passes.common import LiftConstantsToInitializersPass

from edgekit import graph, passes
from edgekit.applying import apply, context_of
from edgekit.dataset import Dataset
from edgekit.distillation.distilling import taught
from edgekit.distillation.exporting import exported
from edgekit.distillation.factoring import low_rank, separable
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.stretches import Stretch, spliced
from edgekit.errors import ModelError, UsageError, WithinBudgetError
from edgekit.graph import Model
from edgekit.job import Job
from edgekit.passes.goals import Goals
from edgekit.reference import is_reference

AUTO, LOW_RANK = "auto", "low-rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The first teacher's job, the teachers' files, the samples, and where and how one learns."""

    job: Job
    files: Sequence[str | Path]
    data: Dataset
    folder: Path
    recipe: Recipe


def replaced(
    whole: Model, stretch: Stretch, student: str, job: Job
) -> tuple[Model, dict[str, object]]:
    """Return the model with a student in place of a stretch, and what is to be told of that."""
    facts: dict[str, object] = {}
    if student == AUTO:
        made, facts["convolutions made separable"] = separable(whole, stretch)
    else:
        made = spliced(whole, stretch, graph.load(student))
    return made, {**facts, **_kept(made, whole, job)}


def begun(
    student: str, budget: Mapping[str, float], learning: Learning
) -> tuple[Model, dict[str, object]]:
    """Return the student before it learns, and what is to be told of how it was derived."""
    job, context = learning.job, context_of(learning.job, learning.data)
    if student == LOW_RANK:
        whole, _record = apply(passes.Simplify(), job.model, context)
        made, count = low_rank(whole, budget["keep_macs"], job.running.shapes)
        return made, {"layers made low-rank": count, **_kept(made, whole, job)}
    if is_reference(student) and not Path(student).exists():
        job.progress("exporting the student", 0, 0)
        loaded = exported(student, job.model, learning.data, job.workspace)
    else:
        loaded = graph.load(student)
    if normalized(loaded):
        lifted = loaded.editable()
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(lifted)
        return Model(ir=lifted, name=loaded.name), {}
    simplified, _record = apply(passes.Simplify(), loaded, context)
    return simplified, {}


def pruned(
    budget: Mapping[str, float], rounds: int, teachers: Sequence[Model], learning: Learning
) -> tuple[Model, dict[str, object]]:
    """Return the pruned student before its last round, and what is to be told of it.

    What an earlier call has pruned and trained is used again. A call that is refused before
    anything is trained leaves no folder.
    """
    try:
        return _pruned(budget, rounds, teachers, learning)
    except UsageError:
        if not any(learning.folder.glob("trained*")):
            shutil.rmtree(learning.folder, ignore_errors=True)
        raise


def _pruned(
    budget: Mapping[str, float], rounds: int, teachers: Sequence[Model], learning: Learning
) -> tuple[Model, dict[str, object]]:
    job, folder = learning.job, learning.folder
    recipe = dataclasses.replace(learning.recipe, minutes=learning.recipe.minutes / rounds)
    running, context = job.running, context_of(job, learning.data)
    told = (
        f"{graph.file_sha256(job.file)} {budget} {rounds} {learning.data.source}"
        f" {len(learning.data)} {running.target.model_dump_json()} {context.measured_on}"
        f" {running.threads} {running.shapes}"
        + (f" {recipe} {[graph.file_sha256(one) for one in learning.files]}" if rounds > 1 else "")
    )
    key, known = hashlib.sha256(told.encode()).hexdigest(), folder / "derived.key"
    if not known.is_file() or known.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        known.write_text(key, encoding="utf-8")
    dense, _record = apply(passes.Simplify(), job.model, context)
    goals = Goals(dense=dense, budget=budget, rounds=rounds, context=context)
    model = dense
    for place, limit in enumerate(goals.limits(), 1):
        small, trained = (folder / f"{what}{place}.onnx" for what in ("pruned", "trained"))
        if not small.is_file():
            step = goals.step(limit, model)
            if step is None:
                continue
            try:
                made, record = apply(step, model, context)
            except WithinBudgetError:
                if model is dense:
                    raise
                continue
            if not record.changed and model is dense:
                why = f"`edgekit inspect {job.file} --groups` says why; name a student of your own"
                raise ModelError("nothing of it can be pruned", where=job.model.name, remedy=why)
            graph.save(made, small)
        model = graph.load(small)
        if place < rounds and not trained.is_file():
            own = folder / f"round{place}"
            found = taught(model, teachers, learning.data, own, recipe, progress=job.progress)
            graph.save(found.model, trained)
            shutil.rmtree(own)
        if place < rounds:
            model = graph.load(trained)
    return model, {"rounds": rounds, **goals.kept(model)}


def normalized(model: Model) -> bool:
    """Say whether a model has statistics of samples, which are to move while it learns."""
    return any(node.op_type == "BatchNormalization" for node in model.ir.graph)


def _kept(made: Model, whole: Model, job: Job) -> dict[str, object]:
    after, before = (graph.costs(one, job.running.shapes).macs for one in (made, whole))
    return {"multiply-adds kept": round(after / max(before, 1), 4)}
