"""Samples with the teachers' answers, put together for one step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgekit.distillation.outcome import Assignment
from edgekit.distillation.packing import Array, Stored
from edgekit.distillation.team import Team

_ELEMENTS = 2_500_000
_SIZES = (8, 64)
_LEAST_STEPS = 8
_JUDGED_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Samples that go through the student at once.

    Attributes:
        feeds: by input of the student.
        wanted: the teachers' answers, by output.
        share: of the lesson.
    """

    feeds: Mapping[str, Tensor]
    wanted: Mapping[str, Tensor]
    labels: Tensor | None
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The samples of one step."""

    parts: tuple[Part, ...]


class Course:
    """All lessons, in an order that follows from the seed.

    Attributes:
        size: samples a step.
        steps: in an epoch.
    """

    def __init__(self, given: Assignment, team: Team) -> None:
        self._given = given
        self._team = team
        self._inputs = [_opened(bucket.inputs) for bucket in given.train.buckets]
        self._answers = [[_opened(one) for one in view] for view in given.lessons.train]
        self.size = given.recipe.batch or _size(given)
        self.steps = sum(1 for _ in self._order(0))

    def lessons(self, epoch: int, skipped: int = 0) -> Iterator[Lesson]:
        """Yield the lessons of an epoch but the first few."""
        for place, (bucket, chosen) in enumerate(self._order(epoch)):
            if place >= skipped:
                yield self._lesson(epoch, bucket, chosen)

    def held(self, most: int = 0) -> Iterator[Part]:
        """Yield the held-out samples, or so many of them."""
        left = most or math.inf
        size = _JUDGED_AT_ONCE if self._given.lessons.together > 1 else 1
        for place, bucket in enumerate(self._given.held.buckets):
            inputs = _opened(bucket.inputs)
            answers = _opened(self._given.lessons.held[place])
            for start in range(0, len(bucket), size):
                chosen = np.arange(start, min(start + size, len(bucket)))
                if left <= 0:
                    return
                left -= len(chosen)
                yield Part(
                    feeds={
                        self._given.inputs[name]: _tensor(values[chosen])
                        for name, values in inputs.items()
                    },
                    wanted={name: _tensor(values[chosen]) for name, values in answers.items()},
                    labels=None,
                    count=len(chosen),
                    share=1.0,
                )

    def _order(self, epoch: int) -> list[tuple[int, Array]]:
        """Return the lessons of an epoch: (bucket, places in it)."""
        draw = np.random.default_rng((self._given.recipe.seed, 0x5EED, epoch))
        found = []
        for place, bucket in enumerate(self._given.train.buckets):
            shuffled = draw.permutation(len(bucket))
            whole = len(bucket) - len(bucket) % self.size if len(bucket) >= self.size else 0
            ends = range(self.size, whole + 1, self.size) if whole else [len(bucket)]
            start = 0
            for end in ends:
                found.append((place, shuffled[start:end]))
                start = end
        return [found[at] for at in draw.permutation(len(found))]

    def _lesson(self, epoch: int, place: int, chosen: Array) -> Lesson:
        chosen = self._team.part(chosen)
        size = len(chosen) if self._given.lessons.together > 1 else 1
        return Lesson(
            parts=tuple(
                self._part(epoch, place, chosen[start : start + size], len(chosen))
                for start in range(0, len(chosen), size)
            )
        )

    def _part(self, epoch: int, place: int, chosen: Array, whole: int) -> Part:
        given, bucket = self._given, self._given.train.buckets[place]
        numbers = bucket.numbers[chosen]
        seen = (numbers + epoch) % len(given.lessons.train)
        views = given.lessons.views
        return Part(
            feeds={
                given.inputs[name]: _tensor(views.seen(name, values[chosen], numbers, seen))
                for name, values in self._inputs[place].items()
            },
            wanted={
                name: _tensor(self._told(place, name, chosen, seen))
                for name in given.lessons.outputs
            },
            labels=None if given.labels is None else torch.from_numpy(given.labels[numbers]),
            count=len(chosen),
            share=len(chosen) / whole,
        )

    def _told(self, place: int, name: str, chosen: Array, seen: Array) -> Array:
        """Return the answers to the views of samples."""
        first = self._answers[0][place][name]
        told = np.empty((len(chosen), *first.shape[1:]), first.dtype)
        for view in np.unique(seen):
            of = seen == view
            told[of] = self._answers[int(view)][place][name][chosen[of]]
        return told


def _size(given: Assignment) -> int:
    """Return how many samples a step suit the samples' size and number."""
    inputs = given.train.buckets[0].inputs.values()
    elements = sum(math.prod(stored.shape[1:]) for stored in inputs)
    least, most = _SIZES
    size = min(max(_ELEMENTS // max(elements, 1), least), most)
    return max(min(size, len(given.train) // _LEAST_STEPS), 1)


def _opened(stored: Mapping[str, Stored]) -> dict[str, Array]:
    return {name: one.open() for name, one in stored.items()}


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, order="C"))
