"""What is asked of teachers, and what is kept of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgekit.dataset import Dataset
from edgekit.distillation.packing import Packed, Stored
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.views import Views

Kind = Literal["values", "scores", "probabilities"]

HINTS = frozenset({"projection", "attention"})
"""Losses of what lies within a student; see `hints`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A model that answers.

    Attributes:
        inputs: its name of each input of the data.
        outputs: its name of each output of the student that is taught.
        weight: in the mean.
        features: its name of each value within the student that is matched.
    """

    file: Path
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    weight: float = 1.0
    features: Mapping[str, str] = field(default_factory=dict)


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
    """What is known of one output, or of a value within.

    Attributes:
        kind: `probabilities` along the last axis, `scores` of classes, or plain `values`.
        loss: `mse` or `kl`; of a value within one of `HINTS`.
        variance: of each element over the samples, on average.
    """

    kind: Kind
    loss: str
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """All answers.

    Attributes:
        outputs: by output of the student, and by value within that is matched.
        train: by view, by bucket, by output.
        held: by bucket, by output; of the plain view, and of outputs alone.
        together: samples that may go through the student at once.
        weights: what each teacher counts for, by output and by how samples are seen.
    """

    outputs: Mapping[str, Taught]
    train: tuple[tuple[Mapping[str, Stored], ...], ...]
    held: tuple[Mapping[str, Stored], ...]
    views: Views
    together: int
    weights: Mapping[str, list[float]] = field(default_factory=dict)
