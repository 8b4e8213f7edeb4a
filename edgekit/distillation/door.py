"""What runs behind the native door, how long it may take, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.distillation.answers import Lessons, Question, Teacher
from edgekit.distillation.between import Ends, Read, Reading, compare, read_off
from edgekit.distillation.outcome import Assignment, Learned
from edgekit.distillation.packing import Packed
from edgekit.distillation.teaching import ask
from edgekit.graph import file_size
from edgekit.interpreter.extra import wait_quietly

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done so far, in all)."""

_LONGEST_S = 14 * 24 * 3600.0
_ASKING_S = 24 * 3600.0
_MEMORY_BYTES = 8 << 30
_TIMES_TRAINED = 20
_TIMES_RUN = 6


def asked(question: Question, progress: Progress) -> Lessons:
    """Return the teachers' answers, those of an earlier run where they are all there."""
    done, known = question.folder / "lessons.json", TypeAdapter(Lessons)
    if done.is_file():
        try:
            return known.validate_json(done.read_bytes())
        except ValidationError:
            done.unlink()
    lessons: Lessons = native.call(
        "asking the teachers",
        ask,
        question,
        timeout_s=_ASKING_S,
        memory_bytes=_MEMORY_BYTES
        + sum(_TIMES_RUN * file_size(one.file) for one in question.teachers),
        progress=lambda at, of: progress("asking the teachers", at, of),
    )
    part = done.with_suffix(".part")
    part.write_bytes(known.dump_json(lessons))
    part.replace(done)
    return lessons


def read(reading: Reading, progress: Progress) -> Read:
    """Return what goes into a stretch of a model and comes out of it."""
    return native.call(
        "running the model",
        read_off,
        reading,
        timeout_s=_ASKING_S,
        memory_bytes=_MEMORY_BYTES + _TIMES_RUN * file_size(reading.model.file),
        progress=lambda at, of: progress("running the model", at, of),
    )


def compared(one: Teacher, other: Path, held: Packed, data: Dataset) -> Ends:
    """Return how far another model's outputs are from one's on held-out samples."""
    return native.call(
        "comparing outputs",
        compare,
        one,
        other,
        held,
        data,
        timeout_s=_ASKING_S,
        memory_bytes=_MEMORY_BYTES + 2 * _TIMES_RUN * file_size(one.file),
    )


def trained(assignment: Assignment, progress: Progress) -> Learned:
    """Return what the student has learnt."""
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
        memory_bytes=_MEMORY_BYTES + _TIMES_TRAINED * file_size(assignment.student),
        progress=moved,
        place=told,
    )
    return learned


def _train(assignment: Assignment) -> Learned:
    """Train; runs in a native child."""
    wait_quietly()
    from edgekit.distillation.training import train  # noqa: PLC0415  # imports torch

    return train(assignment)
