"""The pass that trains the weights of a changed graph until it answers as the original does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgekit.candidate import Skip
from edgekit.distillation.distilling import taught
from edgekit.distillation.recipe import Recipe
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.passes.contract import Context, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The parameters of every pass that trains.

    Attributes:
        epochs: how often all samples are seen; 0: as often as suits their number.
        minutes: longest time of training; 0: no limit.
        learning_rate: largest one; 0: found by short trials.
        seed: of all that is drawn.
    """

    epochs: float = 0.0
    minutes: float = 0.0
    learning_rate: float = 0.0
    seed: int = 0

    def recipe(self) -> Recipe:
        """Return how to train; raise `UsageError` for a value out of range."""
        return Recipe(
            epochs=self.epochs,
            minutes=self.minutes,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetune(Training):
    """Train all weights by distillation from the original, on unlabelled samples.

    Its place is behind `prune`. Held-out answers never get worse: where training makes them no
    better, the model stays as it is. Needs the extra `train`.
    """

    name: ClassVar[str] = "finetune"
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        self.recipe()

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the trained model; facts hold how near it came.

        Raises:
            MissingExtraError: torch is not installed.
            UsageError: no samples.
            ModelError: an operator is not covered.
        """
        if context.original is None or context.original.ir is model.ir:
            reason = "there is no other model to learn from; finetune goes behind prune"
            return Outcome(
                model=model, changed=False, skipped=(Skip(where=model.name, reason=reason),)
            )
        return learnt(model, [context.original], context, self.recipe())


def learnt(model: Model, teachers: Sequence[Model], context: Context, recipe: Recipe) -> Outcome:
    """Return the model as its teachers taught it; unchanged where that made it no better."""
    if context.data is None:
        raise UsageError(
            "nothing to learn from", where="--data", remedy="give unlabelled samples with --data"
        )
    folder = context.workspace / "training"
    try:
        found = taught(model, teachers, context.data, folder, recipe, progress=context.progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    skipped = () if found.better else (Skip(where=model.name, reason=ROLLED_BACK),)
    return Outcome(model=found.model, changed=found.better, skipped=skipped, facts=found.facts)


ROLLED_BACK = "training brought held-out answers no nearer to the teachers': rolled back"
