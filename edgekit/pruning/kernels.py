"""Which counts of channels a target's kernels like: whole blocks, coarser for convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.levels import allowed

_CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
_FINER = 4
"""Kernels of matrix products block less coarsely than those of convolutions."""


def liked(
    coupling: Coupling, groups: Sequence[ChannelGroup], multiple: int
) -> list[tuple[int, ...]]:
    """Return for each group the counts that it may keep, descending, all of them first.

    Args:
        coupling: of the model.
        groups: some of its groups.
        multiple: the channel count that the target's convolutions block by.
    """
    kinds = {node.name: node.op_type for node in coupling.model.ir.graph}
    return [
        allowed(len(group.channels), group.width, multiple)
        if kinds[group.nodes[0]] in _CONVOLUTIONS
        else allowed(len(group.channels), 1, max(1, multiple // _FINER))
        for group in groups
    ]
