"""Channel groups for people: what makes and reads them, what they would save, why they stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.candidate import Skip
from edgekit.pruning.allocation import dense
from edgekit.pruning.blocks import Block
from edgekit.pruning.budget import macs_cost, parameters_cost
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.latencies import liked
from edgekit.pruning.selection import makers, readers


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGroup:
    """Channels that can only be removed together, and what giving up half of them would save.

    Attributes:
        name: what `--ratio` and `--ignore` take, as they take any name of `made_by`.
        channels: how many there are.
        width: positions that one channel takes on its axis: more than one for whole heads, and
            after a channel shuffle or a reshape.
        made_by: nodes whose weights make the channels.
        read_by: nodes whose weights sum over them.
        half: how many channels the half is, rounded down to what the target's kernels like.
        half_saves_macs: multiply-adds that go when only so many stay.
        half_saves_parameters: elements of weights that go with them.
        pinned_by: where and why none of them can be removed; None when they can.
    """

    name: str
    channels: int
    width: int
    made_by: tuple[str, ...]
    read_by: tuple[str, ...]
    half: int
    half_saves_macs: int
    half_saves_parameters: int
    pinned_by: Skip | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBlock:
    """A residual block, which can be removed whole.

    Attributes:
        name: of the Add that ends it.
        nodes: what goes with it.
        saves_macs: multiply-adds that go with it.
    """

    name: str
    nodes: tuple[str, ...]
    saves_macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroups:
    """All groups of a model.

    Attributes:
        multiple: the channel count that the target's convolutions block by.
        macs: multiply-adds of the simplified model, which pruning starts from.
        parameters: elements of its weights.
        least_macs: multiply-adds when every group keeps the fewest channels that it can.
        least_parameters: elements of weights then.
        groups: in graph order.
        blocks: residual blocks that can go whole, in graph order; one may lie within another.
    """

    multiple: int
    macs: int
    parameters: int
    least_macs: int
    least_parameters: int
    groups: tuple[ListedGroup, ...]
    blocks: tuple[ListedBlock, ...] = ()


def listed(coupling: Coupling, multiple: int = 1, blocks: Sequence[Block] = ()) -> ChannelGroups:
    """Return every group of a coupling with what giving up half of it would save.

    Args:
        coupling: of a model whose constants are initializers.
        multiple: the channel count that the target's kernels block by.
        blocks: residual blocks of that model.
    """
    groups = coupling.groups
    macs, parameters = macs_cost(coupling, groups), parameters_cost(coupling, groups)
    options = liked(coupling, groups, multiple, finer=True)
    whole = dense(options)
    least = np.array(
        [
            counts[0 if group.pinned_by else -1]
            for group, counts in zip(groups, options, strict=True)
        ],
        np.int64,
    )
    found = []
    for number, (group, counts) in enumerate(zip(groups, options, strict=True)):
        channels = len(group.channels)
        half = next((count for count in counts if count <= channels / 2), channels)
        kept = np.array([half], np.int64)
        found.append(
            ListedGroup(
                name=group.name,
                channels=channels,
                width=group.width,
                made_by=makers(coupling, group),
                read_by=readers(coupling, group),
                half=half,
                half_saves_macs=round(macs.savings(whole, number, kept)[0]),
                half_saves_parameters=round(parameters.savings(whole, number, kept)[0]),
                pinned_by=group.pinned_by,
            )
        )
    return ChannelGroups(
        multiple=multiple,
        macs=round(macs.total(whole)),
        parameters=round(parameters.total(whole)),
        least_macs=round(macs.total(least)),
        least_parameters=round(parameters.total(least)),
        groups=tuple(found),
        blocks=tuple(
            ListedBlock(name=block.name, nodes=block.nodes, saves_macs=block.macs)
            for block in blocks
        ),
    )
