"""Which tensors share the factors of their channels, what takes these in, and what forbids them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.quantization.scaling import End, Scalable


class Ties:
    """Tensors on the way through the graph: which are tied, what takes factors in, what is pinned.

    Attributes:
        axes: of the channels, by tensor that has some.
        counts: of the channels.
    """

    def __init__(self) -> None:
        """Know of no tensor yet."""
        self.axes: dict[ir.Value, int] = {}
        self.counts: dict[ir.Value, int] = {}
        self._parents: dict[ir.Value, ir.Value] = {}
        self._ends: dict[ir.Value, list[End]] = {}
        self._pins: dict[ir.Value, str] = {}

    def give(self, value: ir.Value, axis: int, count: int, ends: Sequence[End] = ()) -> None:
        """Let `value` have channels, written through these ends."""
        self.axes[value], self.counts[value] = axis, count
        self._ends.setdefault(value, []).extend(ends)

    def tie(self, value: ir.Value, other: ir.Value, axis: int) -> None:
        """Let `other` have the channels of `value`, on this axis."""
        if other not in self.axes:
            self.give(other, axis, self.counts[value])
        elif self.counts[other] != self.counts[value] or self.axes[other] != axis:
            self.pin(value, "channels of different tensors meet")
            self.pin(other, "channels of different tensors meet")
        self._parents[self._root(other)] = self._root(value)

    def read(self, value: ir.Value, axis: int, end: End) -> None:
        """Let `value` be read through this end, which wants its channels on `axis`."""
        if self.axes.get(value) == axis:
            self._ends[value].append(end)
        else:
            self.pin(value, f"{end.node} reads another axis")

    def pin(self, value: ir.Value | None, reason: str) -> None:
        """Let `value` stay as it is."""
        if value is not None:
            self._pins.setdefault(value, reason)

    def found(self) -> tuple[tuple[Scalable, ...], tuple[Skip, ...]]:
        """Return what can be scaled, and what is pinned and why."""
        groups: dict[ir.Value, list[ir.Value]] = {}
        for value in self.axes:
            groups.setdefault(self._root(value), []).append(value)
        free, refused = [], []
        for values in groups.values():
            ends = tuple(end for value in values for end in self._ends.get(value, ()))
            one = Scalable(
                tensors={value.name or "": self.axes[value] for value in values},
                channels=self.counts[values[0]],
                ends=ends,
            )
            pins = [self._pins[value] for value in values if value in self._pins]
            if pins:
                refused.append(Skip(where=one.name, reason=pins[0]))
            elif one.readers and one.channels > 1:
                free.append(one)
        return tuple(free), tuple(refused)

    def _root(self, value: ir.Value) -> ir.Value:
        while value in self._parents and self._parents[value] is not value:
            value = self._parents[value]
        return value
