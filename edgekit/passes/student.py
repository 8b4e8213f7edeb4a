"""The pass that derives a smaller student from the model, and teaches it the model's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from edgekit.candidate import Skip
from edgekit.errors import UnreachableError, UsageError, WithinBudgetError
from edgekit.graph import Model
from edgekit.interpreter.extra import require_torch
from edgekit.passes.contract import Context, Outcome
from edgekit.passes.finetune import Training, learnt
from edgekit.passes.goals import Goals
from edgekit.pruning.selection import LATENCY, check_limit, only_budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Student(Training):
    """Prune to a budget, then train what is left by distillation from the model before.

    Needs the extra `train`. Exactly one of the first three says how much stays.

    Attributes:
        keep_macs, keep_params: share that stays, between 0 and 1.
        max_latency_s: latency to reach on the device.
        rounds: in which that is reached, by ever less, with training after each; each lasts as
            long as `epochs` say, and an equal part of `minutes`.
    """

    name: ClassVar[str] = "student"
    tolerance: ClassVar[float | None] = None

    keep_macs: float = 0.0
    keep_params: float = 0.0
    max_latency_s: float = 0.0
    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError("out of range", where="student.rounds", found=str(self.rounds))
        for name, limit in self._budget().items():
            check_limit(name, limit, where=f"student.{name}")
        self.recipe()

    def _budget(self) -> dict[str, float]:
        given = {name: getattr(self, name) for name in ("keep_macs", "keep_params", LATENCY)}
        said = only_budget(given, where="student")
        return {said: given[said]}

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the student; facts hold what went, and how near it came.

        Raises:
            MissingExtraError: torch is not installed.
            UsageError: a budget that cannot be reached, or no samples.
            ModelError: an operator is not covered.
        """
        require_torch("step student")
        recipe = replace(self.recipe(), minutes=self.minutes / self.rounds)
        goals = Goals(dense=model, budget=self._budget(), rounds=self.rounds, context=context)
        made = Outcome(model=model, changed=False)
        for limit in goals.limits():
            step = goals.step(limit, made.model)
            if step is None:
                continue
            try:
                pruned = step.apply(made.model, context)
            except (UnreachableError, WithinBudgetError) as error:
                if not made.changed:
                    raise
                reason = Skip(where="budget", reason=str(error))
                return replace(made, skipped=(*made.skipped, reason))
            if not pruned.changed:
                return made if made.changed else pruned
            found = learnt(pruned.model, [model], context, recipe)
            made = replace(
                found,
                changed=True,
                skipped=(*pruned.skipped, *found.skipped),
                facts={**pruned.facts, **found.facts, **goals.kept(found.model)},
            )
        return made
