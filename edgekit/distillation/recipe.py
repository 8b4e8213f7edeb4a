"""How a student is taught: everything that the user may say, with defaults that suit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgekit.errors import UsageError

Loss = Literal["auto", "mse", "kl"]
Combination = Literal["auto", "mean", "agreement", "confidence"]
Matching = Literal["projection", "attention"]
_LOSSES: tuple[Loss, ...] = ("auto", "mse", "kl")
_COMBINATIONS: tuple[Combination, ...] = ("auto", "mean", "agreement", "confidence")
_MATCHINGS: tuple[Matching, ...] = ("projection", "attention")

_SAMPLES_SEEN = 600_000
_EPOCHS = (10, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a student is taught.

    Attributes:
        epochs: how often all samples are seen; 0: as often as suits their number, or as often as
            `minutes` allow.
        minutes: longest time for all of it; 0: no limit.
        learning_rate: largest one of the schedule; 0: found by short trials.
        batch: samples a step; 0: by the size of a sample.
        loss: of each output: `mse`, squared difference over the variance of the teachers' answers;
            `kl`, divergence of classes, softened by `temperature`; `auto`, `kl` where the output
            is probabilities, else `mse`.
        labels: share of the loss that labels have, 0 to 1; 0: labels are not looked at.
        combination: of several teachers: their `mean`, by `teacher_weights`; by `agreement`, the
            mean by how seldom each seems to err from what all say, on plain samples and on shifted
            ones, without those that err far more than the best; or by `confidence`, each sample by
            the inverse entropy of each teacher's classes. `auto`: agreement where three or more
            name classes and none has a weight, else mean.
        output_weights: of the loss, by output; 1 where not given.
        features: values within the student that are matched while it learns, and what the first
            teacher calls them; they count as much as the outputs, and are not judged.
        features_by: `projection`, the student's channels in a learnt linear mixture; `attention`,
            where in the image the squares of all channels are large.
        augment: images are mirrored, where that leaves the teachers' answers, and shifted.
        seed: of all that is drawn.
    """

    epochs: float = 0.0
    minutes: float = 0.0
    learning_rate: float = 0.0
    batch: int = 0
    loss: Loss = "auto"
    temperature: float = 2.0
    labels: float = 0.0
    combination: Combination = "auto"
    teacher_weights: tuple[float, ...] = ()
    output_weights: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)
    features_by: Matching = "projection"
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in {
            "loss": _LOSSES,
            "combination": _COMBINATIONS,
            "features_by": _MATCHINGS,
        }.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"unknown {name}",
                    where=name,
                    found=repr(getattr(self, name)),
                    expected=f"one of {', '.join(known)}",
                )
        for name in ("epochs", "minutes", "learning_rate", "batch", "seed"):
            _check(name, getattr(self, name), 0, math.inf)
        _check("labels", self.labels, 0, 1)
        if not 0 < self.temperature < math.inf:
            raise _outside("temperature", self.temperature, "above 0")
        for weight in self.teacher_weights:
            _check("teacher_weights", weight, 0, math.inf)
        for name, weight in self.output_weights.items():
            _check(f"output_weights: {name}", weight, 0, math.inf)
        if self.teacher_weights and not sum(self.teacher_weights):
            raise _outside("teacher_weights", 0, "one of them above 0")

    def passes_over(self, samples: int) -> float:
        """Return how often so many samples are seen."""
        least, most = _EPOCHS
        return self.epochs or float(min(max(_SAMPLES_SEEN / max(samples, 1), least), most))


def _check(name: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        bounds = f"{low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise _outside(name, value, bounds)


def _outside(name: str, value: float, expected: str) -> UsageError:
    return UsageError("out of range", where=name, found=f"{value:g}", expected=expected)
