"""The ways in which the pass prune may share out a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.graph import Model
from edgekit.pruning import allocation
from edgekit.pruning.budget import Counts, MeasuredTime, macs_cost, parameters_cost
from edgekit.pruning.constraints import Allowed
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.latencies import measured_latency
from edgekit.pruning.survey import Survey

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune
    from edgekit.passes.shrinking import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is known before channels are chosen.

    Attributes:
        options: counts that each of the survey's groups may keep: those that kernels like.
        finer: as `options`, with half blocks.
        whole: what the dense model costs, in the unit of the budget.
        keep: share of that to keep.
        last: no other round follows.
    """

    dense: Model
    state: State
    coupling: Coupling
    options: Sequence[Allowed]
    finer: Sequence[Allowed]
    survey: Survey
    whole: float
    keep: float
    last: bool


def plans(
    asked: Prune,
    here: Round,
    seconds_of: Callable[[Sequence[Model]], Sequence[float]],
    *,
    timed: bool,
) -> dict[str, Counts]:
    """Return by name the counts to try.

    Args:
        asked: the pass.
        here: see `Round`.
        seconds_of: latencies of models on the device.
        timed: whether it can be asked.

    Raises:
        UsageError: the budget cannot be reached.
    """
    if asked.ratios:
        return {"ratios": allocation.dense(here.options)}
    groups, table, limit = here.survey.groups, here.survey.table, here.whole * here.keep
    if asked.max_latency_s:
        latency = measured_latency(here.coupling, groups, here.options, seconds_of)
        return {
            "by loss and latency": allocation.by_loss(table, here.options, latency, limit)
            if table
            else allocation.uniform(here.options, latency, limit)
        }
    cost = (macs_cost if asked.keep_macs else parameters_cost)(here.coupling, groups)
    if not table:
        return {"uniform": allocation.uniform(here.options, cost, limit)}
    found = {"by loss": allocation.by_loss(table, here.options, cost, limit)}
    if not here.last:
        return found
    found["uniform"] = allocation.uniform(here.options, cost, limit)
    if timed:
        latency = measured_latency(here.coupling, groups, here.options, seconds_of)
        price = MeasuredTime(latency=latency, theory=cost)
        found["by loss and latency"] = allocation.by_loss(
            table, here.options, cost, limit, price=price
        )
        found["by loss, in half blocks"] = allocation.by_loss(table, here.finer, cost, limit)
    return found
