"""What channel counts cost in time: those that kernels like, and latencies as measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.graph import Model
from edgekit.pruning.budget import LatencyCost, latency_cost
from edgekit.pruning.constraints import Allowed
from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.levels import allowed, sampled
from edgekit.pruning.surgery import removed

_CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
_TIMED_COUNTS = 4
_FINER = 4
"""Kernels of matrix products block less coarsely than those of convolutions."""


def liked(
    coupling: Coupling, groups: Sequence[ChannelGroup], multiple: int, *, finer: bool = False
) -> list[Allowed]:
    """Return for each group the counts that it may keep, descending, all of them first.

    Args:
        coupling: of the model.
        groups: some of its groups.
        multiple: the channel count that the target's convolutions block by.
        finer: see `allowed`.
    """
    kinds = {node.name: node.op_type for node in coupling.model.ir.graph}
    return [
        allowed(len(group.channels), group.width, multiple, finer=finer)
        if kinds[group.nodes[0]] in _CONVOLUTIONS
        else allowed(len(group.channels), 1, max(1, multiple // _FINER), finer=finer)
        for group in groups
    ]


def measured_latency(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    options: Sequence[Allowed],
    seconds_of: Callable[[Sequence[Model]], Sequence[float]],
) -> LatencyCost:
    """Return latency as a function of counts, from what some counts of each group alone take.

    Args:
        coupling: of the model.
        groups: those that may be cut.
        options: counts that each may keep, descending; four of each are measured.
        seconds_of: measures models against the first of them.
    """
    trials = [
        (group, count)
        for group, counts in zip(groups, options, strict=True)
        for count in sampled(counts, _TIMED_COUNTS)[1:]
    ]
    keeps = [coupling.everything() for _ in trials]
    for keep, (group, count) in zip(keeps, trials, strict=True):
        keep[group.channels[count:]] = False
    dense, *found = seconds_of([coupling.model, *(removed(coupling, keep) for keep in keeps)])
    saved: dict[str, dict[int, float]] = {}
    for (group, count), seconds in zip(trials, found, strict=True):
        saved.setdefault(group.name, {})[count] = max(dense - seconds, 0.0) * 1e6
    return latency_cost(groups, dense * 1e6, saved)
