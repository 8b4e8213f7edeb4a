"""From a student and its teachers to the student that has learnt, or the student as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from edgekit import native
from edgekit.dataset import Dataset, held_out
from edgekit.distillation.matching import Match, match
from edgekit.distillation.outcome import Assignment, Learned
from edgekit.distillation.packing import Array, Packed, pack
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.teaching import Lessons, Question, Teacher, ask
from edgekit.distillation.trainable import trainable
from edgekit.distillation.views import views_of
from edgekit.errors import DataError, ModelError, UsageError
from edgekit.graph import Model, file_sha256, file_size, save
from edgekit.interpreter.extra import require_torch, wait_quietly
from edgekit.interpreter.weights import with_weights

Progress = Callable[[str, int, int], None]

_HELD_SHARE = 0.1
_HELD_MOST = 4096
_VIEWS = 4
_LONGEST_S = 14 * 24 * 3600.0
_ASKING_S = 24 * 3600.0
_CHECKING_S = 300.0
_MEMORY_BYTES = 8 << 30
_ALIKE = 0.05


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
) -> Result:
    """Train the float weights of a student until it answers as its teachers do.

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
    _check_recipe(recipe, matches[0], len(teachers))
    names = trainable(student)
    folder.mkdir(parents=True, exist_ok=True)
    own, files = _saved(student, teachers, folder)
    pupil = _teacher(own, _inverse(matches[0].inputs), {n: n for n in matches[0].outputs})
    progress("checking the student", 0, 0)
    native.call(
        "checking the student",
        _check_student,
        pupil,
        data,
        timeout_s=_CHECKING_S,
        memory_bytes=_MEMORY_BYTES + 6 * file_size(own),
    )
    progress("packing samples", 0, 0)
    kept, out = held_out(data, min(_HELD_SHARE, _HELD_MOST / max(len(data), 1)))
    labels = _labels(kept, recipe)
    train, held = pack(kept, folder / "train"), pack(out, folder / "held")
    _begin_anew(folder, _key(recipe, [own, *files], train, held, labels))
    question = Question(
        teachers=tuple(
            _teacher(file, _composed(matches[0], one), one.outputs, weight)
            for file, one, weight in zip(files, matches, _weights(recipe, len(files)), strict=True)
        ),
        student=pupil,
        data=data,
        train=train,
        held=held,
        views=views_of(train, len(kept), _VIEWS if recipe.augment else 1, recipe.seed),
        recipe=recipe,
        folder=folder / "answers",
    )
    lessons = _asked(question, progress)
    learned = _trained(
        Assignment(
            student=own,
            names=names,
            inputs=pupil.inputs,
            train=train,
            held=held,
            lessons=lessons,
            labels=labels,
            recipe=recipe,
            folder=folder,
            seconds=max(60 * recipe.minutes - (time.monotonic() - started), 1.0)
            if recipe.minutes
            else 0.0,
        ),
        progress,
    )
    better = bool(learned.weights)
    return Result(
        model=with_weights(student, learned.weights) if better else student,
        better=better,
        facts=_facts(learned, lessons, len(teachers)),
    )


def _check_recipe(recipe: Recipe, found: Match, teachers: int) -> None:
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


def _saved(student: Model, teachers: Sequence[Model], folder: Path) -> tuple[Path, list[Path]]:
    own = folder / "student.onnx"
    save(student, own)
    files = []
    for place, teacher in enumerate(teachers):
        files.append(folder / f"teacher{place}.onnx")
        save(teacher, files[-1])
    return own, files


def _check_student(student: Teacher, data: Dataset) -> None:
    """Check that torch runs the student as onnxruntime does; runs in a native child."""
    import onnx_ir as ir  # noqa: PLC0415  # only behind the native door

    wait_quietly()
    from edgekit.graph.trial import open_session, run  # noqa: PLC0415  # as above
    from edgekit.interpreter.network import Network  # noqa: PLC0415  # imports torch

    network = Network(ir.load(student.file))
    session = open_session(str(student.file))
    sample = next(data.samples())
    feeds = {student.inputs[name]: np.array(value)[None] for name, value in sample.items()}
    known = dict(zip((v.name for v in session.get_outputs()), run(session, feeds), strict=True))
    for name, value in network.run(feeds, list(student.outputs)).items():
        wanted, found = known[name], value.detach().numpy()
        scale = float(np.abs(wanted).max(initial=0.0)) or 1.0
        if found.shape != wanted.shape or not np.abs(found - wanted).max(initial=0.0) <= (
            _ALIKE * scale
        ):
            raise ModelError(
                "torch does not answer as onnxruntime does", where=f"output {name!r} of the student"
            )


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


def _teacher(file: Path, inputs: dict[str, str], outputs: Any, weight: float = 1.0) -> Teacher:
    return Teacher(file=file, inputs=inputs, outputs=dict(outputs), weight=weight)


def _weights(recipe: Recipe, count: int) -> tuple[float, ...]:
    return recipe.teacher_weights or (1.0,) * count


def _inverse(names: Any) -> dict[str, str]:
    return {other: own for own, other in names.items()}


def _composed(first: Match, other: Match) -> dict[str, str]:
    """Return another teacher's name of each input, by the first one's."""
    return {first.inputs[own]: name for own, name in other.inputs.items()}


def _key(
    recipe: Recipe, files: Sequence[Path], train: Packed, held: Packed, labels: Array | None
) -> str:
    parts = [
        json.dumps(asdict(recipe), sort_keys=True),
        *(file_sha256(file) for file in files),
        train.digest,
        held.digest,
        "" if labels is None else hashlib.sha256(labels.tobytes()).hexdigest(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _begin_anew(folder: Path, key: str) -> None:
    """Drop what another training has left."""
    file = folder / "training.key"
    if file.is_file() and file.read_text() == key:
        return
    shutil.rmtree(folder / "answers", ignore_errors=True)
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    file.write_text(key)


def _asked(question: Question, progress: Progress) -> Lessons:
    """Return the teachers' answers, those of an earlier run where they are all there."""
    done, known = question.folder / "lessons.json", TypeAdapter(Lessons)
    if done.is_file():
        try:
            return known.validate_json(done.read_bytes())
        except ValidationError:
            done.unlink()
    question.folder.mkdir(parents=True, exist_ok=True)
    lessons: Lessons = native.call(
        "asking the teachers",
        ask,
        question,
        timeout_s=_ASKING_S,
        memory_bytes=_MEMORY_BYTES + sum(6 * file_size(one.file) for one in question.teachers),
        progress=lambda at, of: progress("asking the teachers", at, of),
    )
    part = done.with_suffix(".part")
    part.write_bytes(known.dump_json(lessons))
    part.replace(done)
    return lessons


def _trained(assignment: Assignment, progress: Progress) -> Learned:
    place, counts = ["training"], [0, 0]

    def told(what: str) -> None:
        place[0] = f"training: {what}"
        progress(place[0], *counts)

    def moved(done: int, total: int) -> None:
        counts[:] = done, total
        progress(place[0], done, total)

    learned: Learned = native.call(
        "training",
        _train,
        assignment,
        timeout_s=3 * 60 * assignment.recipe.minutes + 3600 if assignment.seconds else _LONGEST_S,
        memory_bytes=_MEMORY_BYTES + 20 * file_size(assignment.student),
        progress=moved,
        place=told,
    )
    return learned


def _train(assignment: Assignment) -> Learned:
    """Train; runs in a native child."""
    wait_quietly()
    from edgekit.distillation.training import train  # noqa: PLC0415  # imports torch

    return train(assignment)


def _facts(learned: Learned, lessons: Lessons, teachers: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "teachers": teachers,
        "learnt by": ", ".join(f"{one.loss} of {name}" for name, one in lessons.outputs.items()),
        "views of a sample": lessons.views.count and len(lessons.train),
        "mirrored": lessons.views.mirrored,
        "learning rate": learned.rate,
        "steps": learned.steps,
        "epochs": round(learned.epochs, 2),
        "held-out distance at the start": round(learned.start, 6),
        "held-out distance": round(learned.best, 6),
        "rolled back": not learned.weights,
    }
    if learned.start_alike is not None and learned.best_alike is not None:
        found["equal held-out answers at the start"] = round(learned.start_alike, 4)
        found["equal held-out answers"] = round(learned.best_alike, 4)
    found["history"] = {
        str(step): [round(loss, 6), round(distance, 6)] for step, loss, distance in learned.history
    }
    return found
