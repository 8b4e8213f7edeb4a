"""The steps of a release profile make candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.applying import apply, context_of
from edgekit.candidate import Candidate, Skip, StepRecord
from edgekit.dataset import Dataset
from edgekit.errors import UnreachableError
from edgekit.graph import Model
from edgekit.job import Job, stage
from edgekit.passes import Fp16, Pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the steps of a profile made of the original.

    Attributes:
        candidates: one for each step that changed the model, in order.
        models: the candidates' graphs, by name.
        declined: records of the steps that left it as it was, with their reasons.
    """

    candidates: tuple[Candidate, ...]
    models: dict[str, Model]
    declined: tuple[StepRecord, ...]


def make_candidates(
    job: Job, original: Candidate, steps: Sequence[Pass], calibration: Dataset
) -> Made:
    """Apply the steps one after another; each that changes the model leaves a candidate.

    Steps `prune` are alternatives: each starts from the unpruned model, and what follows is done
    to every pruned model and, since what was pruned loses some answers whatever follows, to the
    unpruned one. Where the target runs fp16 fast, the fp16 form of the last float candidate is
    one, too.
    """
    context = context_of(job, calibration)
    made: list[Candidate] = []
    models: dict[str, Model] = {}
    declined: list[StepRecord] = []
    alternatives = sum(step.name == "prune" for step in steps) > 1

    def make(form: Pass, name: str, model: Model, parent: Candidate) -> tuple[Model, Candidate]:
        job.progress(name, 0, 0)
        try:
            result, record = apply(form, model, context)
        except UnreachableError as error:
            reason = Skip(where="budget", reason=str(error))
            record = StepRecord(name=form.name, changed=False, skipped=(reason,))
        if not record.changed:
            declined.append(record)
            return model, parent
        candidate = stage(name, result, parent, record, job.workspace)
        made.append(candidate)
        models[candidate.name] = result
        return result, candidate

    lines = [_Line(model=job.model, candidate=original)]
    number = 0
    for step in steps:
        if step.name == "prune":
            whole = lines[0]
            number += 1
            suffix = f"-{number}" if alternatives else ""
            model, candidate = make(step, step.name + suffix, whole.model, whole.candidate)
            if model is not whole.model:
                lines.append(_Line(model=model, candidate=candidate, suffix=suffix))
            continue
        if step.name == "quantize" and "fp16" in job.running.target.formats:
            make(Fp16(), "fp16", lines[-1].model, lines[-1].candidate)
        for at, line in enumerate(lines):
            suffix = line.suffix if at or len(lines) == 1 else "-unpruned"
            model, candidate = make(step, step.name + suffix, line.model, line.candidate)
            lines[at] = replace(line, model=model, candidate=candidate)
    return Made(candidates=tuple(made), models=models, declined=tuple(declined))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A model on its way through the steps: the unpruned one, or one of several pruned ones."""

    model: Model
    candidate: Candidate
    suffix: str = ""
