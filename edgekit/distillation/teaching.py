"""What the teachers answer: asked once, by onnxruntime, and written to disk.

Several teachers become one: a mean of their answers, of their softened classes where the student
learns those, weighted the same for all samples or by how sure each teacher is of a sample.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.distillation.packing import Array, Bucket, Packed, Stored
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.views import Views
from edgekit.errors import DataError, ModelError, UsageError
from edgekit.graph import trial
from edgekit.layerwise.batches import batch_size

Kind = Literal["values", "scores", "probabilities"]
Answers = dict[str, npt.NDArray[np.float32]]

_ROUNDING = 1e-3
_SMALLEST_PROBABILITY = 1e-7
_MIRRORED_ALIKE = 0.8
_TRIED = 256
_TRIED_BYTES = 64 << 20
_DISK_BYTES = 16 << 30
_SHARE_OF_TIME = 0.2
"""Of the time allowed that may go into further views."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A model that answers.

    Attributes:
        inputs: its name of each input of the data.
        outputs: its name of each output of the student that is taught.
        weight: in the mean.
    """

    file: Path
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whom to ask, and about what.

    Attributes:
        data: a few samples of it show how many may go through a model at once.
        student: its file, which is tried as well.
        train, held: samples to learn from, and to judge by.
        folder: where answers go.
    """

    teachers: tuple[Teacher, ...]
    student: Teacher
    data: Dataset
    train: Packed
    held: Packed
    views: Views
    recipe: Recipe
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What is known of one output.

    Attributes:
        kind: `probabilities` along the last axis, `scores` of classes, or plain `values`.
        loss: `mse` or `kl`.
        variance: of each element over the samples, on average.
    """

    kind: Kind
    loss: str
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """All answers.

    Attributes:
        outputs: by output of the student.
        train: by view, by bucket, by output.
        held: by bucket, by output; of the plain view.
        together: samples that may go through the student at once.
    """

    outputs: Mapping[str, Taught]
    train: tuple[tuple[Mapping[str, Stored], ...], ...]
    held: tuple[Mapping[str, Stored], ...]
    views: Views
    together: int


def ask(question: Question) -> Lessons:
    """Ask the teachers about every view of every sample; runs in a native child.

    Raises:
        ModelError: an output has no sample axis; an answer is not finite.
        UsageError: the loss or the combination does not fit the outputs.
        DataError: the answers are too large to be kept.
    """
    started = time.monotonic()
    panel = _Panel(question)
    few = {name: _first(one, _TRIED) for name, one in question.train.buckets[0].inputs.items()}
    panel.meet(few)
    _check_room(panel, question, few)
    views = question.views.with_mirrored(
        question.views.count > 1 and panel.mirrored_alike(few, question.views)
    )
    total = len(question.held) + views.count * len(question.train)
    done = 0

    def of(packed: Packed, view: int, name: str) -> tuple[Mapping[str, Stored], ...]:
        nonlocal done
        found = []
        for place, bucket in enumerate(packed.buckets):
            writing = _Writing(question.folder / f"{name}-{place}", len(bucket))
            for part in panel.answers(bucket, views, view):
                writing.add(part)
                done += len(next(iter(part.values())))
                native.report(done, total)
            found.append(writing.close())
        return tuple(found)

    held = of(question.held, 0, "held")
    train = []
    for view in range(views.count):
        spent = (time.monotonic() - started) / 60
        if view and 0 < _SHARE_OF_TIME * question.recipe.minutes < spent * (view + 1) / view:
            break
        train.append(of(question.train, view, f"view{view}"))
    return Lessons(
        outputs={
            name: Taught(
                kind=panel.kinds[name],
                loss=panel.losses[name],
                variance=_variance([files[name] for files in train[0]]),
            )
            for name in panel.kinds
        },
        train=tuple(train),
        held=held,
        views=views,
        together=panel.together,
    )


class _Panel:
    """The teachers, as one."""

    def __init__(self, question: Question) -> None:
        self._recipe = question.recipe
        self._teachers = question.teachers
        threads = os.cpu_count() or 1
        self._sessions = [
            trial.open_session(str(one.file), threads=threads) for one in question.teachers
        ]
        self._size = [
            _at_once(session, one, question.data)
            for session, one in zip(self._sessions, question.teachers, strict=True)
        ]
        student = trial.open_session(str(question.student.file), threads=1)
        self.together = _at_once(student, question.student, question.data)
        self.kinds: dict[str, Kind] = {}
        self.losses: dict[str, str] = {}

    def meet(self, few: Mapping[str, Array]) -> None:
        """Learn from some answers of what kind they are."""
        first = [self._asked(place, few) for place in range(len(self._teachers))]
        for name in self._teachers[0].outputs:
            self.kinds[name] = _kind([answers[name] for answers in first])
            known = self._recipe.loss
            probable = self.kinds[name] == "probabilities"
            self.losses[name] = ("kl" if probable else "mse") if known == "auto" else known
            if self.losses[name] == "kl" and self.kinds[name] == "values":
                raise UsageError(
                    "kl wants classes along the last axis",
                    where=f"loss of output {name!r}",
                    found="x".join(map(str, first[0][name].shape)),
                    remedy="choose mse",
                )
        if self._recipe.combination == "confidence" and "values" in self.kinds.values():
            raise UsageError(
                "confidence needs outputs with classes",
                where="combination",
                remedy="choose mean",
            )

    def answers(self, bucket: Bucket, views: Views, view: int) -> Iterator[Answers]:
        """Yield what the panel answers to the samples of a bucket, in order."""
        size = max(self._size)
        inputs = {name: stored.open() for name, stored in bucket.inputs.items()}
        for start in range(0, len(bucket), size):
            numbers = bucket.numbers[start : start + size]
            feeds = {
                name: views.seen(
                    name, values[start : start + size], numbers, np.full(len(numbers), view)
                )
                for name, values in inputs.items()
            }
            yield self.answer(feeds)

    def answer(self, feeds: Mapping[str, Array]) -> Answers:
        """Return what the panel answers: classes as scores, in logarithms."""
        found = [self._asked(place, feeds) for place in range(len(self._teachers))]
        return {name: self._united(name, [one[name] for one in found]) for name in self.kinds}

    def mirrored_alike(self, few: Mapping[str, Array], views: Views) -> bool:
        """Say whether most images have the same answer when they are mirrored."""
        classes = [name for name, kind in self.kinds.items() if kind != "values"]
        if not classes or views.image is None:
            return False
        plain = self.answer(few)
        other = self.answer({**few, views.image: views.mirror(few[views.image])})
        return all(
            (plain[name].argmax(-1) == other[name].argmax(-1)).mean() >= _MIRRORED_ALIKE
            for name in classes
        )

    def _asked(self, place: int, feeds: Mapping[str, Array]) -> Answers:
        """Return what one teacher answers."""
        teacher, session, size = self._teachers[place], self._sessions[place], self._size[place]
        names = [value.name for value in session.get_outputs()]
        count = len(next(iter(feeds.values())))
        parts: list[list[Array]] = []
        for start in range(0, count, size):
            given = {
                teacher.inputs[name]: np.ascontiguousarray(values[start : start + size])
                for name, values in feeds.items()
            }
            parts.append(trial.run(session, given))
        found: Answers = {}
        for name, own in teacher.outputs.items():
            at = names.index(own)
            if any(part[at].ndim == 0 for part in parts):
                raise _no_sample_axis(own)
            whole = np.concatenate([part[at] for part in parts])
            if len(whole) != count:
                raise _no_sample_axis(own)
            if not np.isfinite(whole).all():
                raise ModelError(
                    "a teacher's answer is not finite", where=own, found="NaN or infinity"
                )
            found[name] = whole.astype(np.float32)
        return found

    def _united(self, name: str, answers: Sequence[Array]) -> npt.NDArray[np.float32]:
        """Return one answer of several."""
        kind, soften = self.kinds[name], self.losses[name] == "kl"
        if kind == "probabilities":
            answers = [np.log(one.clip(_SMALLEST_PROBABILITY)) for one in answers]
        if len(answers) == 1:
            return answers[0].astype(np.float32)
        weights = np.stack(
            [
                np.full(one.shape[:-1] if kind != "values" else one.shape, teacher.weight)
                for one, teacher in zip(answers, self._teachers, strict=True)
            ]
        ).astype(np.float32)
        if kind != "values":
            if self._recipe.combination == "confidence":
                weights = weights / np.stack([_entropy(one) + _ROUNDING for one in answers])
            weights = weights[..., None]
        weights = weights / weights.sum(0)
        stacked = np.stack(answers)
        if not soften:
            return np.asarray((weights * stacked).sum(0), np.float32)
        mixed = (weights * _softmax(stacked / self._recipe.temperature)).sum(0)
        scores = np.log(mixed.clip(_SMALLEST_PROBABILITY)) * self._recipe.temperature
        return np.asarray(scores, np.float32)


class _Writing:
    """Answers that are being written, one file an output."""

    def __init__(self, stem: Path, samples: int) -> None:
        self._stem = stem
        self._samples = samples
        self._streams: dict[str, Any] = {}
        self._stored: dict[str, Stored] = {}

    def add(self, part: Answers) -> None:
        """Write the answers to the next samples."""
        for place, (name, values) in enumerate(part.items()):
            if name not in self._streams:
                file = self._stem.with_name(f"{self._stem.name}-{place}.bin")
                self._streams[name] = file.open("wb")
                shape = (self._samples, *values.shape[1:])
                self._stored[name] = Stored(file=file, dtype="<f4", shape=shape)
            self._streams[name].write(np.ascontiguousarray(values, "<f4").tobytes())

    def close(self) -> Mapping[str, Stored]:
        """Return what is written."""
        for stream in self._streams.values():
            stream.close()
        return self._stored


def _at_once(session: Any, model: Teacher, data: Dataset) -> int:
    """Return how many samples may go through a model at once."""
    return batch_size(session, list(model.outputs.values()), _Renamed(data, model.inputs))


@dataclass(frozen=True, slots=True)
class _Renamed:
    """The data under the names that a model has for them."""

    base: Dataset
    names: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.base)

    def samples(self) -> Iterator[dict[str, Array]]:
        for sample in self.base.samples():
            yield {self.names[name]: value for name, value in sample.items()}


def _check_room(panel: _Panel, question: Question, few: Mapping[str, Array]) -> None:
    each = sum(one[0].nbytes for one in panel.answer(few).values())
    need = each * (len(question.held) + question.views.count * len(question.train))
    if need > _DISK_BYTES:
        raise DataError(
            "the teachers' answers would not fit on disk",
            where=question.data.source,
            found=f"{need >> 30} GiB for {question.views.count} views of each sample",
            expected=f"at most {_DISK_BYTES >> 30} GiB",
            remedy="give fewer samples, or leave out augmentation",
        )


def _kind(answers: Sequence[Array]) -> Kind:
    """Return of what kind all teachers' answers to the same output are."""
    first = answers[0]
    if first.ndim < 2 or first.shape[-1] < 2:  # noqa: PLR2004  # samples and two classes
        return "values"
    shares = [
        bool(one.min() >= 0 and (np.abs(one.sum(-1) - 1) < _ROUNDING).all()) for one in answers
    ]
    if all(shares):
        return "probabilities"
    return "scores" if first.ndim == 2 else "values"  # noqa: PLR2004  # as above


def _variance(files: Sequence[Stored]) -> float:
    """Return the variance of each element over the samples, on average over elements."""
    totals: dict[tuple[int, ...], list[Any]] = {}
    for stored in files:
        kept = totals.setdefault(stored.shape[1:], [0, 0.0, 0.0])
        values = stored.open()
        for start in range(0, len(values), 1024):
            part = values[start : start + 1024].astype(np.float64)
            kept[0] += len(part)
            kept[1] = kept[1] + part.sum(0)
            kept[2] = kept[2] + (part**2).sum(0)
    spread = sum(float(np.sum(squares - sums**2 / n)) for n, sums, squares in totals.values())
    elements = sum(n * math.prod(shape) for shape, (n, _, _) in totals.items())
    mean_square = sum(float(np.sum(squares)) for _, _, squares in totals.values()) / max(
        elements, 1
    )
    return max(spread / max(elements, 1), 1e-6 * mean_square, 1e-12)


def _first(stored: Stored, count: int) -> Array:
    each = math.prod(stored.shape[1:]) * np.dtype(stored.dtype).itemsize
    return np.array(stored.open()[: max(min(count, _TRIED_BYTES // max(each, 1)), 1)])


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Array = powers / powers.sum(-1, keepdims=True)
    return shares


def _entropy(scores: Array) -> Array:
    shares = _softmax(scores)
    entropy: Array = -(shares * np.log(shares.clip(_SMALLEST_PROBABILITY))).sum(-1)
    return entropy


def _no_sample_axis(output: str) -> ModelError:
    return ModelError("an output has no sample axis", where=output, expected="one answer a sample")
