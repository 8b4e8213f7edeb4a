"""What a model makes within itself, read off at the ends of a stretch and at its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.distillation.answers import Lessons, Taught, Teacher
from edgekit.distillation.exposing import exposed
from edgekit.distillation.packing import Array, Bucket, Packed, Stored
from edgekit.distillation.stretches import Stretch
from edgekit.distillation.teaching import Writing, variance
from edgekit.distillation.team import cores
from edgekit.distillation.views import Views
from edgekit.errors import DataError, ModelError
from edgekit.graph import trial
from edgekit.layerwise.batches import batch_size

_DISK_BYTES = 16 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What to read off which model.

    Attributes:
        model: as it was; its inputs are those of the data.
        data: a few samples show how many may go through the model at once.
        train, held: samples of the whole model.
        folder: where what was read goes.
    """

    model: Teacher
    stretch: Stretch
    data: Dataset
    train: Packed
    held: Packed
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What goes into a stretch, as samples, and what comes out of it, as lessons."""

    train: Packed
    held: Packed
    lessons: Lessons


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How far one model's outputs are from another's.

    Attributes:
        distance: squared difference over the variance, summed over the outputs.
        alike: share of samples with the same class; None where there are none.
    """

    distance: float
    alike: float | None


def read_off(reading: Reading) -> Read:
    """Run all samples through the model once; runs in a native child.

    Raises:
        ModelError: a value at the stretch's ends has no sample axis, or is no float.
        DataError: what was read is too large to be kept.
    """
    names = [*reading.stretch.inputs, *reading.stretch.outputs]
    session = exposed(reading.model.file, names)
    size = batch_size(session, names, reading.data)
    total = len(reading.train) + len(reading.held)
    done = 0

    def of(packed: Packed, what: str) -> tuple[Packed, tuple[Mapping[str, Stored], ...]]:
        nonlocal done
        buckets, answers = [], []
        for place, bucket in enumerate(packed.buckets):
            writing = Writing(reading.folder / f"{what}-{place}", len(bucket))
            inputs = {name: stored.open() for name, stored in bucket.inputs.items()}
            for start in range(0, len(bucket), size):
                found = _run(
                    session, names, reading.model.inputs, inputs, slice(start, start + size)
                )
                if not start and not done:
                    _check_room(found, total, reading.data.source)
                writing.add(found)
                done += len(found[names[0]])
                native.report(done, total)
            stored = writing.close()
            own = {name: stored[name] for name in reading.stretch.inputs}
            buckets.append(Bucket(numbers=bucket.numbers, inputs=own))
            answers.append({name: stored[name] for name in reading.stretch.outputs})
        return Packed(buckets=tuple(buckets), digest=packed.digest), tuple(answers)

    held, told = of(reading.held, "held")
    train, taught = of(reading.train, "train")
    return Read(
        train=train,
        held=held,
        lessons=Lessons(
            outputs={
                name: Taught(
                    kind="values", loss="mse", variance=variance([one[name] for one in taught])
                )
                for name in reading.stretch.outputs
            },
            train=(taught,),
            held=told,
            views=Views(samples=len(train)),
            together=size,
        ),
    )


def compare(one: Teacher, other: Path, held: Packed, data: Dataset) -> Ends:
    """Return how far another model of the same names is from one; runs in a native child."""
    sessions = [trial.open_session(str(file), threads=cores()) for file in (one.file, other)]
    names = list(one.outputs)
    size = batch_size(sessions[0], names, data)
    off, spread = dict.fromkeys(names, 0.0), {name: _Spread() for name in names}
    alike, count, classes = 0, 0, False
    for bucket in held.buckets:
        inputs = {name: stored.open() for name, stored in bucket.inputs.items()}
        for start in range(0, len(bucket), size):
            part = slice(start, start + size)
            wanted, found = (_run(session, names, one.inputs, inputs, part) for session in sessions)
            for name in names:
                off[name] += float(np.square(found[name] - wanted[name], dtype=np.float64).sum())
                spread[name].add(wanted[name])
            first = wanted[names[0]]
            classes = first.ndim == 2 and first.shape[1] > 1  # noqa: PLR2004  # samples and classes
            alike += int((first.argmax(-1) == found[names[0]].argmax(-1)).sum()) if classes else 0
            count += len(first)
    return Ends(
        distance=sum(off[name] / spread[name].sum for name in names),
        alike=alike / max(count, 1) if classes else None,
    )


class _Spread:
    """The sum of squares about the mean, of arrays that come one after another."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: Any = 0.0
        self._squares: Any = 0.0

    def add(self, values: Array) -> None:
        wide = values.astype(np.float64)
        self._count += len(wide)
        self._sums = self._sums + wide.sum(0)
        self._squares = self._squares + (wide**2).sum(0)

    @property
    def sum(self) -> float:
        return max(float(np.sum(self._squares - self._sums**2 / max(self._count, 1))), 1e-12)


def _run(
    session: Any,
    names: Sequence[str],
    own: Mapping[str, str],
    inputs: Mapping[str, Array],
    part: slice,
) -> dict[str, Array]:
    """Return values of one run over a part of the samples."""
    feeds = {own[name]: np.ascontiguousarray(values[part]) for name, values in inputs.items()}
    count = len(next(iter(feeds.values())))
    known = [value.name for value in session.get_outputs()]
    made = dict(zip(known, trial.run(session, feeds), strict=True))
    found: dict[str, Array] = {}
    for name in names:
        value = made.get(name, feeds.get(name))
        if value is None or value.ndim == 0 or len(value) != count or value.dtype != np.float32:
            raise ModelError(
                "cannot be taught: it is no float32 with an axis for the samples",
                where=name,
                found="nothing" if value is None else f"{value.dtype}{list(value.shape)}",
            )
        found[name] = value
    return found


def _check_room(found: Mapping[str, Array], total: int, source: str) -> None:
    need = sum(value.nbytes // len(value) for value in found.values()) * total
    if need > _DISK_BYTES:
        raise DataError(
            "what goes through the stretch would not fit on disk",
            where=source,
            found=f"{need >> 30} GiB",
            expected=f"at most {_DISK_BYTES >> 30} GiB",
            remedy="give fewer samples",
        )
