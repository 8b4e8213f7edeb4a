"""From a student and its teachers to the student that has learnt, or the student as it was."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.dataset import Dataset, held_out
from edgekit.distillation import door
from edgekit.distillation.answers import Question, Teacher
from edgekit.distillation.between import Read, Reading
from edgekit.distillation.checking import check_student
from edgekit.distillation.door import Progress
from edgekit.distillation.keeping import ANSWERS, CHECKPOINT, begin, key_of
from edgekit.distillation.latent import Latent, latents
from edgekit.distillation.matching import Match, match
from edgekit.distillation.outcome import Assignment, Learned
from edgekit.distillation.packing import Array, pack
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.stretches import Stretch, weights_within
from edgekit.distillation.trainable import trainable
from edgekit.distillation.views import views_of
from edgekit.errors import DataError, ModelError, UsageError
from edgekit.graph import Model, save
from edgekit.interpreter.extra import require_torch
from edgekit.interpreter.weights import with_weights

_HELD_SHARE = 0.1
_HELD_MOST = 4096
_VIEWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of the student.

    Attributes:
        model: the student that has learnt; the one that was given when nothing better came.
        better: whether held-out answers came nearer to the teachers'.
        facts: JSON-valued figures for manifest and report.
    """

    model: Model
    better: bool
    facts: dict[str, Any]


def taught(
    student: Model,
    teachers: Sequence[Model],
    data: Dataset,
    folder: Path,
    recipe: Recipe,
    *,
    progress: Progress,
    stretch: Stretch | None = None,
    spent_s: float = 0.0,
) -> Result:
    """Train the weights of a student until it answers as its teachers do.

    A tenth of the samples, by hash, is held out; the result is never worse on it than the start.
    Memory does not grow with the data: samples and answers lie in `folder`. A training that was
    ended goes on where it was when it is asked for again with the same folder.

    Args:
        student: its nodes stay as they are.
        teachers: one or several; `data` has the names of the first one's inputs.
        data: samples; labels are looked at only where the recipe gives them a share.
        folder: is made; holds the files of this training and of nothing else.
        recipe: how it is done.
        progress: called with (what is being done, done so far, in all).
        stretch: where the student differs from its one teacher: only what lies there is trained,
            on what the teacher's own stretch reads and makes.
        spent_s: of the recipe's minutes, what has gone already.

    Raises:
        MissingExtraError: torch is not installed.
        ModelError: teacher and student do not correspond; the student has operators that are not
            covered.
        DataError: too few samples, or labels that are no classes.
        UsageError: the recipe does not fit the models.
    """
    require_torch("distillation")
    started = time.monotonic()
    matches = [match(student, teacher) for teacher in teachers]
    _check_recipe(recipe, matches[0], len(teachers), stretch)
    _check_features(recipe, student, teachers[0], stretch)
    names, integers = _weights_of(student, stretch)
    folder.mkdir(parents=True, exist_ok=True)
    own, asked = _saved(student, teachers, matches, recipe, folder)
    progress("checking the student", 0, 0)
    check_student(own, integers, data)
    progress("packing samples", 0, 0)
    kept, out = held_out(data, min(_HELD_SHARE, _HELD_MOST / max(len(data), 1)))
    labels = _labels(kept, recipe)
    train, held = pack(kept, folder / "train"), pack(out, folder / "held")
    begin(folder, key_of(recipe, [own.file, *(t.file for t in asked)], [train, held], labels))
    parts = _parts(
        Question(
            teachers=asked,
            student=own,
            data=data,
            train=train,
            held=held,
            views=views_of(train, len(kept), _VIEWS if recipe.augment else 1, recipe.seed),
            recipe=recipe,
            folder=folder / ANSWERS,
        ),
        stretch,
        progress,
    )
    spent = spent_s + time.monotonic() - started
    learned = door.trained(
        Assignment(
            student=own.file,
            names=names,
            latents=integers,
            inputs=own.inputs if stretch is None else {name: name for name in stretch.inputs},
            train=parts.train,
            held=parts.held,
            lessons=parts.lessons,
            labels=labels,
            recipe=recipe,
            checkpoint=folder / CHECKPOINT,
            seconds=max(60 * recipe.minutes - spent, 1.0) if recipe.minutes else 0.0,
        ),
        progress,
    )
    better = bool(learned.weights)
    model = with_weights(student, _typed(student, learned.weights)) if better else student
    facts = {"teachers": len(teachers), **_facts(learned, parts, [t.name for t in teachers])}
    if stretch is not None:
        save(model, folder / "learnt.onnx")
        for when, file in ((" at the start", own.file), ("", folder / "learnt.onnx")):
            ends = door.compared(asked[0], file, held, data)
            facts[f"distance of held-out outputs{when}"] = round(ends.distance, 6)
            if ends.alike is not None:
                facts[f"equal held-out outputs{when}"] = round(ends.alike, 4)
    return Result(model=model, better=better, facts=facts)


def _parts(question: Question, stretch: Stretch | None, progress: Progress) -> Read:
    """Return samples and lessons: of the whole model, or of a stretch of it."""
    if stretch is None:
        lessons = door.asked(question, progress)
        return Read(train=question.train, held=question.held, lessons=lessons)
    reading = Reading(
        model=question.teachers[0],
        stretch=stretch,
        data=question.data,
        train=question.train,
        held=question.held,
        folder=question.folder,
    )
    return door.read(reading, progress)


def _weights_of(
    student: Model, stretch: Stretch | None
) -> tuple[tuple[str, ...], tuple[Latent, ...]]:
    """Return what is trained: floats by name, and integers."""
    names, integers = trainable(student), latents(student)
    if stretch is not None:
        own = weights_within(student, stretch)
        names = tuple(name for name in names if name in own)
        integers = tuple(one for one in integers if one.name in own)
    if not names and not integers:
        raise ModelError("has no weights that could be trained", where=student.name)
    return names, integers


def _check_recipe(recipe: Recipe, found: Match, teachers: int, stretch: Stretch | None) -> None:
    if recipe.output_weights and stretch is not None:
        raise UsageError("goes with a whole student", where="output_weights")
    if recipe.teacher_weights and len(recipe.teacher_weights) != teachers:
        raise UsageError(
            "not one weight a teacher",
            where="teacher_weights",
            found=str(len(recipe.teacher_weights)),
            expected=str(teachers),
        )
    for name in recipe.output_weights:
        if name not in found.outputs:
            raise UsageError(
                f"the student has no float output {name!r}",
                where="output_weights",
                expected=f"one of {', '.join(found.outputs)}",
            )
    if not any(recipe.output_weights.get(name, 1.0) for name in found.outputs):
        raise UsageError(
            "nothing would be learnt", where="output_weights", found="0 for every output"
        )


def _check_features(
    recipe: Recipe, student: Model, teacher: Model, stretch: Stretch | None
) -> None:
    if recipe.features and stretch is not None:
        raise UsageError("goes with a whole student", where="features")
    for model, names in ((student, recipe.features), (teacher, recipe.features.values())):
        known = {v.name: v for node in model.ir.graph for v in node.outputs if v.name}
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                raise UsageError(
                    f"{model.name} has no value {name!r}",
                    where="features",
                    remedy=f"did you mean {close[0]!r}?"
                    if close
                    else "values bear the names of what nodes make",
                )


def _saved(
    student: Model,
    teachers: Sequence[Model],
    matches: Sequence[Match],
    recipe: Recipe,
    folder: Path,
) -> tuple[Teacher, tuple[Teacher, ...]]:
    """Write all models, and return what the student and each teacher call inputs and outputs.

    The data has the first teacher's names of the inputs, and answers the student's of the outputs.
    """
    first = matches[0]
    own = Teacher(
        file=folder / "student.onnx",
        inputs={name: mine for mine, name in first.inputs.items()},
        outputs={name: name for name in first.outputs},
    )
    save(student, own.file)
    asked = []
    for place, (teacher, found) in enumerate(zip(teachers, matches, strict=True)):
        file = folder / f"teacher{place}.onnx"
        save(teacher, file)
        asked.append(
            Teacher(
                file=file,
                inputs={first.inputs[mine]: its for mine, its in found.inputs.items()},
                outputs=found.outputs,
                weight=recipe.teacher_weights[place] if recipe.teacher_weights else 1.0,
                features={} if place else recipe.features,
            )
        )
    return own, tuple(asked)


def _labels(data: Dataset, recipe: Recipe) -> Array | None:
    if not recipe.labels:
        return None
    labels = data.labels()
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            "no labels to learn from",
            where=data.source,
            found="none" if labels is None else f"{labels.dtype} of {labels.ndim} axes",
            expected="one whole number a sample in the array 'label'",
        )
    return labels.astype(np.int64)


def _typed(student: Model, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return weights in the types of their initializers."""
    known = student.ir.graph.initializers
    return {
        name: array.astype(tensor.numpy().dtype)
        for name, array in weights.items()
        if (tensor := known[name].const_value) is not None
    }


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names of teachers, with their places where two have the same."""
    several = len(set(names)) < len(names)
    return [f"{name} ({place})" if several else name for place, name in enumerate(names, 1)]


def _facts(learned: Learned, parts: Read, teachers: Sequence[str]) -> dict[str, Any]:
    lessons = parts.lessons
    found: dict[str, Any] = {
        "learnt by": ", ".join(f"{one.loss} of {name}" for name, one in lessons.outputs.items()),
        "samples": len(parts.train),
        "held out": len(parts.held),
        "views of a sample": len(lessons.train),
        "mirrored": lessons.views.mirrored,
        "learning rate": learned.rate,
        "steps": learned.steps,
        "epochs": round(learned.epochs, 2),
        "held-out distance at the start": round(learned.start, 6),
        "held-out distance": round(learned.best, 6),
        "rolled back": not learned.weights,
    }
    for answers, shares in lessons.weights.items() if len(teachers) > 1 else ():
        found[f"teachers' weights for {answers}"] = [
            f"{share:.3g} {name}" if share else f"{name} not asked"
            for name, share in zip(_told_apart(teachers), shares, strict=True)
        ]
    if learned.start_alike is not None and learned.best_alike is not None:
        found["equal held-out answers at the start"] = round(learned.start_alike, 4)
        found["equal held-out answers"] = round(learned.best_alike, 4)
    found["history"] = {
        str(step): [round(loss, 6), round(distance, 6)] for step, loss, distance in learned.history
    }
    return found
