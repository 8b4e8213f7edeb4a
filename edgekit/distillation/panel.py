"""Several teachers as one.

A mean of their answers, or of their softened classes where the student learns those, weighted the
same for all samples, by how often each teacher seems to be right, or by how sure it is of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Dataset
from edgekit.distillation import agreement
from edgekit.distillation.answers import Kind, Question, Teacher
from edgekit.distillation.exposing import exposed
from edgekit.distillation.packing import Array, Bucket
from edgekit.distillation.team import cores
from edgekit.distillation.views import Views
from edgekit.errors import ModelError, UsageError
from edgekit.graph import trial
from edgekit.layerwise.batches import batch_size

Answers = dict[str, npt.NDArray[np.float32]]

_ROUNDING = 1e-3
_SMALLEST_PROBABILITY = 1e-7
_MIRRORED_ALIKE = 0.8
_IMAGE_RANK = 4
_HEARD = 1 / 3
"""A teacher that seems to err more than three times as often as the best one is not asked."""


class Panel:
    """The teachers, as one."""

    def __init__(self, question: Question) -> None:
        self._recipe = question.recipe
        self._teachers = question.teachers
        threads = cores()
        self._sessions = [
            exposed(one.file, list(one.features.values()))
            if one.features
            else trial.open_session(str(one.file), threads=threads)
            for one in question.teachers
        ]
        self._size = [
            _at_once(session, one, question.data)
            for session, one in zip(self._sessions, question.teachers, strict=True)
        ]
        student = trial.open_session(str(question.student.file), threads=1)
        self.together = _at_once(student, question.student, question.data)
        self.kinds: dict[str, Kind] = {}
        self.losses: dict[str, str] = {}
        self.features = tuple(self._teachers[0].features)
        self._shares: dict[tuple[str, bool], npt.NDArray[np.float64]] = {}

    def meet(self, few: Mapping[str, Array]) -> None:
        """Learn from some answers to plain samples of what kind they are."""
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
        self._check_combination()
        given = np.array([teacher.weight for teacher in self._teachers])
        for name in self.kinds:
            for shifted in (False, True):
                self._shares[name, shifted] = given / given.sum()

    def _check_combination(self) -> None:
        chosen = self._recipe.combination
        if chosen in ("agreement", "confidence") and "values" in self.kinds.values():
            raise UsageError(
                f"{chosen} needs outputs with classes", where="combination", remedy="choose mean"
            )
        if chosen == "agreement" and len(self._teachers) < agreement.FEWEST:
            raise UsageError(
                "agreement tells who is right among several teachers",
                where="combination",
                found=str(len(self._teachers)),
                expected=f"{agreement.FEWEST} or more",
                remedy="choose mean",
            )

    @property
    def by_agreement(self) -> bool:
        """Whether teachers count for as much as they seem to be right: see `weigh`."""
        chosen = self._recipe.combination
        free = not self._recipe.teacher_weights and len(self._teachers) >= agreement.FEWEST
        return chosen == "agreement" or (chosen == "auto" and free)

    def weigh(self, parts: Iterable[Mapping[str, Array]], *, shifted: bool) -> None:
        """Learn from answers to samples, shifted or not, what each teacher counts for."""
        said: dict[str, list[list[Array]]] = {
            name: [[] for _ in self._teachers]
            for name, kind in self.kinds.items()
            if kind != "values"
        }
        classes: dict[str, int] = {}
        for feeds in parts:
            for place in range(len(self._teachers)):
                found = self._asked(place, feeds)
                for name, answers in said.items():
                    classes[name] = found[name].shape[-1]
                    answers[place].append(found[name].argmax(-1).ravel())
        for name, answers in said.items():
            named = [np.concatenate(one) for one in answers]
            shares = self._shares[name, shifted] * agreement.weights_by(named, classes[name])
            shares[shares < _HEARD * shares.max()] = 0
            self._shares[name, shifted] = shares / shares.sum()

    def weights(self, *, shifted: bool) -> dict[str, list[float]]:
        """Return what each teacher counts for, by output; for samples that are shifted, too.

        Where that is another for each sample, by confidence, there is nothing to tell.
        """
        return {
            f"{name}, {'shifted' if further else 'plain'}": shares.tolist()
            for (name, further), shares in self._shares.items()
            if (shifted or not further) and self._recipe.combination != "confidence"
        }

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
            yield self.answer(feeds, shifted=view >= views.first_shifted)

    def answer(self, feeds: Mapping[str, Array], *, shifted: bool = False) -> Answers:
        """Return what the panel answers: classes as scores, in logarithms.

        Args:
            feeds: samples, by input.
            shifted: how samples are seen.
        """
        shares = {name: self._shares[name, shifted] for name in self.kinds}
        heard = {place for each in shares.values() for place in np.flatnonzero(each).tolist()}
        found = {
            place: self._asked(place, feeds)
            for place in sorted(heard | ({0} if self.features else set()))
        }
        united = {}
        for name, each in shares.items():
            places = np.flatnonzero(each).tolist()
            united[name] = self._united(name, [found[at][name] for at in places], each[places])
        return united | {name: self._seen(found[0][name]) for name in self.features}

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
        for name, own in {**teacher.outputs, **teacher.features}.items():
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

    def _seen(self, values: Array) -> npt.NDArray[np.float32]:
        """Return what is kept of a value within the first teacher."""
        if self._recipe.features_by == "projection":
            return values.astype(np.float32)
        return _attention(values)

    def _united(
        self, name: str, answers: Sequence[Array], shares: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        """Return one answer of several."""
        kind, soften = self.kinds[name], self.losses[name] == "kl"
        if kind == "probabilities":
            answers = [np.log(one.clip(_SMALLEST_PROBABILITY)) for one in answers]
        if len(answers) == 1:
            return answers[0].astype(np.float32)
        weights: Array = np.stack(
            [
                np.full(one.shape[:-1] if kind != "values" else one.shape, share)
                for one, share in zip(answers, shares, strict=True)
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


def _at_once(session: Any, model: Teacher, data: Dataset) -> int:
    """Return how many samples may go through a model at once."""
    renamed = cast("Dataset", _Renamed(data, model.inputs))
    return batch_size(session, list(model.outputs.values()), renamed)


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


def _attention(values: Array) -> npt.NDArray[np.float32]:
    """Return where the squares of all channels are large: a vector of length 1 a sample."""
    channels = 1 if values.ndim == _IMAGE_RANK else -1
    places = np.square(values, dtype=np.float32).mean(channels).reshape(len(values), -1)
    length = np.sqrt(np.square(places).sum(-1, keepdims=True))
    return np.asarray(places / np.maximum(length, 1e-12), np.float32)


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
