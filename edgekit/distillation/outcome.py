"""What a student is given to learn, and what came of it; no torch, so that the host can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.distillation.answers import Lessons
from edgekit.distillation.latent import Latent
from edgekit.distillation.packing import Array, Packed
from edgekit.distillation.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All that training needs.

    Attributes:
        student: its file.
        names: float initializers that are trained.
        latents: integer ones that are.
        inputs: the student's name of each input of the data.
        train, held: samples to learn from, and to judge by.
        labels: of all the data; None where they are not looked at.
        checkpoint: file of it.
        seconds: longest time; 0: no limit.
    """

    student: Path
    names: tuple[str, ...]
    latents: tuple[Latent, ...]
    inputs: Mapping[str, str]
    train: Packed
    held: Packed
    lessons: Lessons
    labels: Array | None
    recipe: Recipe
    checkpoint: Path
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What training came to.

    Attributes:
        weights: by initializer; empty when nothing was better than the start.
        start, best: distance of held-out answers from the teachers', at the start and least.
        start_alike, best_alike: share of held-out samples with the teachers' class.
        rate: largest learning rate.
        steps: taken.
        samples: seen, each as often as it was.
        history: (step, loss while training, distance of held-out answers) at each check.
    """

    weights: Mapping[str, Array]
    start: float
    best: float
    start_alike: float | None
    best_alike: float | None
    rate: float
    steps: int
    epochs: float
    samples: int
    history: tuple[tuple[int, float, float], ...]
