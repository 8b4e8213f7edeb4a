"""From united numbers to channels, and from channels to groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgekit.candidate import Skip
from edgekit.pruning.coupling import FIXED, ChannelGroup, Contraction, Ids
from edgekit.pruning.flow import Flow, Production

_FREE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The channels that numbers belong to.

    Attributes:
        of: the channel of each number.
        count: how many channels there are.
        pinned: for each channel an index into `reasons`, or -1.
    """

    of: Ids
    count: int
    pinned: Ids
    reasons: tuple[Skip, ...]

    def on(self, ids: Ids) -> Ids:
        """Return the channels in place of numbers."""
        return np.where(ids == FIXED, FIXED, self.of[ids])


def channels_of(flow: Flow) -> Channels:
    """Return the channels: what the flow has united, directly or by others."""
    count, of = _components(flow.united, flow.total)
    reasons: dict[Skip, int] = {}
    pinned = np.full(count, _FREE, np.int64)
    for ids, skip in reversed(flow.pins):
        pinned[of[ids]] = reasons.setdefault(skip, len(reasons))
    return Channels(of=of, count=count, pinned=pinned, reasons=tuple(reasons))


def groups_of(
    productions: Sequence[Production],
    contractions: Sequence[Contraction],
    read: Sequence[Ids | None],
    channels: Channels,
) -> tuple[ChannelGroup, ...]:
    """Return the groups, in graph order; pinned and free channels are never in one group.

    Args:
        productions: in graph order.
        contractions: in graph order.
        read: for each contraction the channels on its weight's axis.
        channels: what the numbers belong to.
    """
    made = [channels.on(production.ids) for production in productions]
    group_of, count = _grouped(made, channels)
    found = [_Gathered() for _ in range(count)]
    for production, ids in zip(productions, made, strict=True):
        output = channels.on(production.output)
        for group in np.unique(group_of[ids[ids != FIXED]]):
            found[group].make(production, ids[group_of[ids] == group], output)
    for contraction, summed in zip(contractions, read, strict=True):
        if summed is None or contraction.weight is None:
            continue
        for group in np.unique(group_of[summed[summed != FIXED]]):
            if group != _FREE:
                found[group].read(contraction)
    return tuple(gathered.finished(channels) for gathered in _named(found))


class _Gathered:
    """A group while its parts are found."""

    def __init__(self) -> None:
        self.name = ""
        self.parts: list[Ids] = []
        self.width = 1
        self.producers: list[tuple[str, int]] = []
        self.consumers: list[tuple[str, int]] = []
        self.nodes: dict[str, None] = {}

    def make(self, production: Production, ids: Ids, output: Ids) -> None:
        if not self.parts:
            self.name = production.node
            self.width = max(1, int(np.isin(output, ids).sum()) // len(np.unique(ids)))
        self.parts.append(ids)
        self.producers.append(production.weight)
        self.nodes[production.node] = None

    def read(self, contraction: Contraction) -> None:
        if contraction.weight is not None:
            self.consumers.append(contraction.weight)
        self.nodes[contraction.node] = None

    def finished(self, channels: Channels) -> ChannelGroup:
        ids = np.concatenate(self.parts)
        _, first = np.unique(ids, return_index=True)
        ordered = ids[np.sort(first)]
        reason = channels.pinned[ordered[0]]
        return ChannelGroup(
            name=self.name,
            channels=ordered,
            width=self.width,
            producers=tuple(dict.fromkeys(self.producers)),
            consumers=tuple(dict.fromkeys(self.consumers)),
            nodes=tuple(self.nodes),
            pinned_by=None if reason == _FREE else channels.reasons[reason],
        )


def _named(found: list[_Gathered]) -> list[_Gathered]:
    """Give groups of one node names of their own."""
    seen: dict[str, int] = {}
    for gathered in found:
        seen[gathered.name] = number = seen.get(gathered.name, 0) + 1
        if number > 1:
            gathered.name = f"{gathered.name}:{number}"
    return found


def _grouped(made: Sequence[Ids], channels: Channels) -> tuple[Ids, int]:
    """Return each channel's group, -1 for those that no weight makes, and how many groups."""
    group_of = np.full(channels.count, _FREE, np.int64)
    if not made:
        return group_of, 0
    hubs = channels.count
    pairs: list[tuple[Ids, Ids]] = []
    for ids in made:
        live = ids[ids != FIXED]
        for part in (live[channels.pinned[live] == _FREE], live[channels.pinned[live] != _FREE]):
            if part.size:
                pairs.append((part, np.full(part.size, hubs)))
                hubs += 1
    _, component = _components(pairs, hubs)
    order: dict[int, int] = {}
    for part, _ in pairs:
        number = order.setdefault(int(component[part[0]]), len(order))
        group_of[part] = number
    return group_of, len(order)


def _components(pairs: Sequence[tuple[Ids, Ids]], count: int) -> tuple[int, Ids]:
    if not pairs:
        return count, np.arange(count)
    rows = np.concatenate([one for one, _ in pairs])
    columns = np.concatenate([other for _, other in pairs])
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    number, labels = connected_components(links, directed=False)
    return int(number), labels.astype(np.int64)
