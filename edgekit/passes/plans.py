"""The ways in which the pass prune may share out a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import UnreachableError
from edgekit.graph import Model
from edgekit.passes.rounds import Round
from edgekit.pruning import allocation
from edgekit.pruning.budget import (
    Cost,
    Counts,
    MeasuredTime,
    macs_cost,
    macs_left,
    parameters_cost,
    parameters_left,
)
from edgekit.pruning.constraints import Allowed, constrained
from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.latencies import liked, measured_latency

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune

SecondsOf = Callable[[Sequence[Model]], Sequence[float]]
_AIMS = 8
"""How often a budget that was missed is aimed at again."""
_OVER = 0.001


def plan(asked: Prune, here: Round, seconds_of: SecondsOf) -> tuple[str, Counts]:
    """Return the name and the counts of the way that is tried first.

    Args:
        asked: the pass.
        here: see `Round`.
        seconds_of: latencies of models on the device; called for a limit of latency alone.

    Raises:
        UsageError: the budget cannot be reached.
    """
    if asked.ratios:
        return "ratios", allocation.dense(here.options)
    table = here.survey.table
    cost = _cost(asked, here, seconds_of)
    if table:
        counts = _within(
            asked, here, lambda limit: allocation.by_loss(table, here.options, cost, limit)
        )
        return "by loss", counts
    counts = _within(asked, here, lambda limit: allocation.uniform(here.options, cost, limit))
    return "uniform", counts


def options_for(
    asked: Prune, coupling: Coupling, groups: Sequence[ChannelGroup], multiple: int, limit: float
) -> list[Allowed]:
    """Return the counts that each group may keep: whole blocks of the kernels where those will do.

    Args:
        asked: the pass.
        coupling: of the model.
        groups: none of them pinned.
        multiple: the channel count that the target's kernels block by.
        limit: what may be left, in the unit of the budget.

    Raises:
        UsageError: a layer that the user names is not there, or cannot be cut.
    """

    def counts(*, finer: bool) -> list[Allowed]:
        found = liked(coupling, groups, multiple, finer=finer)
        return constrained(coupling, groups, found, ignored=asked.ignore, ratios=asked.ratios)

    if asked.ratios:
        return counts(finer=True)
    blocks = counts(finer=False)
    if asked.max_latency_s:
        return blocks
    cost = _saved_cost(asked, coupling, groups)
    least = np.array([row[-1] for row in blocks], np.int64)
    return blocks if cost.total(least) <= limit else counts(finer=True)


def other_plans(
    asked: Prune, here: Round, seconds_of: SecondsOf, *, timed: bool
) -> dict[str, Counts]:
    """Return by name the counts of the other ways; none where blocks are gone.

    Args:
        asked: as of `plan`.
        here: as of `plan`.
        seconds_of: as of `plan`.
        timed: whether there is a device to ask.
    """
    groups, table = here.survey.groups, here.survey.table
    if asked.ratios or asked.max_latency_s or here.state.gone or not table:
        return {}
    cost = _cost(asked, here, seconds_of)
    found = {
        "uniform": _within(asked, here, lambda most: allocation.uniform(here.options, cost, most))
    }
    if timed:
        latency = measured_latency(here.coupling, groups, here.options, seconds_of)
        price = MeasuredTime(latency=latency, theory=cost)
        found["by loss and latency"] = _within(
            asked,
            here,
            lambda most: allocation.by_loss(table, here.options, cost, most, price=price),
        )
    return found


def _within(asked: Prune, here: Round, counts_at: Callable[[float], Counts]) -> Counts:
    """Return counts whose channels are within the limit, counted one by one.

    A budget takes a group's channels for equally wide and equally spread. Where they are not (the
    halves of a Split, a shuffle) more is left than it foretells, and a lower limit is aimed at;
    where none is low enough, each group's least is what can be had.

    Raises:
        UnreachableError: even that leaves too much.
    """
    counts = counts_at(here.limit)
    if asked.max_latency_s:
        return counts
    count_left = macs_left if asked.keep_macs else parameters_left

    def left(counts: Counts) -> float:
        keep = allocation.flags(here.coupling, here.survey.groups, here.survey.scores, counts)
        return count_left(here.coupling, keep)

    most, limit = here.limit * (1 + _OVER), here.limit
    for _ in range(_AIMS):
        found = left(counts)
        if found <= most:
            return counts
        limit *= here.limit / found
        try:
            counts = counts_at(limit)
        except UnreachableError:
            break
    least = np.array([row[-1] for row in here.options], np.int64)
    if (found := left(least)) > most:
        whole = _saved_cost(asked, here.coupling, here.survey.groups)
        raise allocation.unreachable(found, whole, here.limit)
    return least


def _cost(asked: Prune, here: Round, seconds_of: SecondsOf) -> Cost:
    if asked.max_latency_s:
        return measured_latency(here.coupling, here.survey.groups, here.options, seconds_of)
    return _saved_cost(asked, here.coupling, here.survey.groups)


def _saved_cost(asked: Prune, coupling: Coupling, groups: Sequence[ChannelGroup]) -> Cost:
    return (macs_cost if asked.keep_macs else parameters_cost)(coupling, groups)
