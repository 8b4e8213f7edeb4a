"""The pass that derives a smaller student from the model, and teaches it the model's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.interpreter.extra import require_torch
from edgekit.passes.contract import Context, Outcome
from edgekit.passes.finetune import Training, learnt
from edgekit.passes.prune import Prune
from edgekit.pruning.schedule import polynomial
from edgekit.pruning.selection import check_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Student(Training):
    """Prune to a budget, then train what is left by distillation from the model before.

    Needs the extra `train`.

    Attributes:
        keep_macs: share of the multiply-adds that stays, between 0 and 1.
        rounds: in which that is reached, by ever less, with training after each; each lasts as
            long as `epochs` say, and an equal part of `minutes`.
    """

    name: ClassVar[str] = "student"
    tolerance: ClassVar[float | None] = None

    keep_macs: float = 0.25
    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError("out of range", where="student.rounds", found=str(self.rounds))
        check_share(self.keep_macs, where="student.keep_macs")
        self.recipe()

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the student; facts hold what went, and how near it came.

        Raises:
            MissingExtraError: torch is not installed.
            UsageError: a budget that cannot be reached, or no samples.
            ModelError: an operator is not covered.
        """
        require_torch("step student")
        recipe = replace(self.recipe(), minutes=self.minutes / self.rounds)
        made, left = Outcome(model=model, changed=False), 1.0
        for share in polynomial(1.0, self.keep_macs, self.rounds + 1)[1:]:
            if share >= left:
                continue
            pruned = Prune(keep_macs=share / left).apply(made.model, context)
            if not pruned.changed:
                return made if made.changed else pruned
            left *= pruned.facts["multiply-adds kept"]
            found = learnt(pruned.model, [model], context, recipe)
            made = replace(
                found,
                changed=True,
                skipped=(*pruned.skipped, *found.skipped),
                facts={**pruned.facts, **found.facts, "multiply-adds kept": round(left, 4)},
            )
        return made
