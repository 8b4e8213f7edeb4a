"""A budget is reached in several rounds of pruning, by ever less: what each of them aims at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.graph import Model
from edgekit.graph.costs import costs
from edgekit.passes.contract import Context
from edgekit.passes.prune import Prune
from edgekit.pruning.schedule import polynomial
from edgekit.pruning.selection import LATENCY


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What is to be left after each round.

    Attributes:
        dense: the model before the first.
        budget: one of `keep_macs`, `keep_params` and `max_latency_s` of `Prune`, by name.
        rounds: 1 or more.
        context: whose device measures latencies.
    """

    dense: Model
    budget: Mapping[str, float]
    rounds: int
    context: Context

    def limits(self) -> tuple[float, ...]:
        """Return what may be left, in the unit of the budget.

        Raises:
            UsageError: a latency, and nothing to measure it on.
        """
        ((name, limit),) = self.budget.items()
        if self.rounds == 1:
            return (limit,)
        whole = self.context.seconds_of([self.dense], "decide")[0] if name == LATENCY else 1.0
        if limit >= whole:
            return (limit,)
        return tuple(whole * share for share in polynomial(1.0, limit / whole, self.rounds + 1)[1:])

    def step(self, limit: float, model: Model) -> Prune | None:
        """Return what takes a model to one of the limits; None for one that is there already.

        Raises:
            UsageError: as of `limits`.
        """
        ((name, _),) = self.budget.items()
        if model.ir is not self.dense.ir:
            left = self._left(model)
            if limit >= left:
                return None
            limit = limit if name == LATENCY else limit / left
        return Prune(**{name: limit})  # type: ignore[arg-type]  # these three are floats

    def kept(self, model: Model) -> dict[str, float]:
        """Return which shares of the dense model are left, as facts of a step."""
        macs, parameters = self._shares(model)
        return {"multiply-adds kept": round(macs, 4), "parameters kept": round(parameters, 4)}

    def _left(self, model: Model) -> float:
        if LATENCY in self.budget:
            return self.context.seconds_of([self.dense, model], "decide")[1]
        macs, parameters = self._shares(model)
        return macs if "keep_macs" in self.budget else parameters

    def _shares(self, model: Model) -> tuple[float, float]:
        before, after = (costs(one, self.context.shapes) for one in (self.dense, model))
        macs = after.macs / max(before.macs, 1)
        return macs, after.parameters / max(before.parameters, 1)
