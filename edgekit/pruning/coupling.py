"""What belongs together: the channels of a graph, their groups, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.candidate import Skip
from edgekit.graph import Model

Ids = npt.NDArray[np.int64]
"""The channel at each position of an axis; `FIXED` where nothing can be removed."""
Keep = npt.NDArray[np.bool_]
"""One flag a channel of a `Coupling`: does it stay?"""
FIXED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels that lie on the same axes of the same weights; any subset of them can be removed.

    A channel is what must be removed together: one output of every weight that makes it, with all
    that normalizes, shifts, adds or reads it.

    Attributes:
        name: of the first node that makes the channels; unique within the coupling.
        channels: numbers of the channels, in the order of their first position.
        width: positions that one channel has on its first producer's axis; its count is rounded in
            units of this.
        producers: (initializer, axis) of every weight that makes the channels.
        consumers: (initializer, axis) of every weight that sums over them.
        nodes: every weighted node that makes or reads them, by name, in graph order.
        pinned_by: why none of them may be removed; None when they may.
    """

    name: str
    channels: Ids
    width: int
    producers: tuple[tuple[str, int], ...]
    consumers: tuple[tuple[str, int], ...]
    nodes: tuple[str, ...]
    pinned_by: Skip | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """A place where a node sums over channels.

    Attributes:
        node: its name.
        data: the activation that is read, and the axis (not negative) that is summed over.
        weight: the initializer it is multiplied with and the axis in it; None where both operands
            are activations, as in attention.
        output: the node's output, and its axis of new channels; None where there is none.
    """

    node: str
    data: tuple[str, int]
    weight: tuple[str, int] | None
    output: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The multiply-adds of one node: `macs` in all, in proportion to the length of each axis."""

    node: str
    macs: int
    axes: tuple[Ids, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """The channels of a graph.

    Attributes:
        model: what was analysed.
        shapes: concrete shape of every value at the analysed input shapes.
        axes: for each value (initializers, too) the channels on each of its axes; None for an axis
            on which nothing can be removed. A value without an entry has none.
        count: how many channels there are; they are numbered from 0.
        pinned: for each channel why it must stay: an index into `reasons`, or -1.
        reasons: where and why something is pinned.
    """

    model: Model
    shapes: Mapping[str, tuple[int, ...]]
    axes: Mapping[str, tuple[Ids | None, ...]]
    count: int
    pinned: Ids
    reasons: tuple[Skip, ...]
    groups: tuple[ChannelGroup, ...]
    contractions: tuple[Contraction, ...]
    products: tuple[Product, ...]

    @property
    def free(self) -> tuple[ChannelGroup, ...]:
        """The groups that are not pinned."""
        return tuple(group for group in self.groups if group.pinned_by is None)

    def everything(self) -> Keep:
        """Return flags that keep every channel."""
        return np.ones(self.count, np.bool_)

    def on(self, value: str, axis: int) -> Ids | None:
        """Return the channels along one axis of a value, None when nothing can be removed there."""
        axes = self.axes.get(value)
        return None if axes is None else axes[axis]

    def kept(self, value: str, axis: int, keep: Keep) -> Ids | None:
        """Return the positions that stay on an axis; None when the axis stays whole."""
        ids = self.on(value, axis)
        if ids is None:
            return None
        stays = positions_kept(ids, keep)
        return None if stays.all() else np.flatnonzero(stays)

    def spared(self, keep: Keep) -> Keep:
        """Return the flags, and one channel more on each axis that would be left without any.

        An axis may hold only some channels of a group: half of them behind a Split.
        """
        spared = keep.copy()
        for axes in self.axes.values():
            for ids in axes:
                if ids is not None and not positions_kept(ids, spared).any():
                    spared[ids[0]] = True
        return spared


def positions_kept(ids: Ids, keep: Keep) -> npt.NDArray[np.bool_]:
    """Return for each position of an axis whether it stays."""
    stays: npt.NDArray[np.bool_] = (ids == FIXED) | keep[ids]
    return stays
