"""Carries channel numbers through a graph: what an operator's rule may say.

Every position of every axis of a weight gets a number of its own. Rules carry the numbers along to
the axes of activations, unite those that must go together, and pin those that must stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.graph.macs import macs_of
from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import FIXED, Contraction, Ids

Axes = list[Ids | None]
"""Channel numbers on each axis of a value; None where nothing can be removed."""


class Refusal(Exception):  # noqa: N818  # a rule's answer, not an error
    """An operator's form that its rule does not know; all channels it touches are pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """A weight's axis that makes the channels of a node's output axis."""

    node: str
    weight: tuple[str, int]
    ids: Ids
    output: Ids


class Flow:
    """The channel numbers of a graph while they are found out.

    Args:
        shapes: of every value.
        heads: where an axis is split in two, the outer part is the channels, else the inner one.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, heads: bool) -> None:
        self.heads = heads
        self.contractions: list[Contraction] = []
        self.productions: list[Production] = []
        self.products: list[tuple[str, int, tuple[Ids, ...]]] = []
        self.united: list[tuple[Ids, Ids]] = []
        self.pins: list[tuple[Ids, Skip]] = []
        self.axes_of: dict[str, Axes] = {}
        self.total = 0
        self._shapes = shapes

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """Return the concrete shape of a value; refuse when it has none."""
        found = None if value is None else self._shapes.get(value.name or "")
        if found is None:
            raise Refusal("a shape that is not known")
        return found

    def fresh(self, length: int) -> Ids:
        """Return numbers that nothing else has."""
        self.total += length
        return np.arange(self.total - length, self.total, dtype=np.int64)

    def axes(self, value: ir.Value | None) -> Axes:
        """Return the numbers on each axis of a value; an initializer's are made at first use."""
        shape = self.shape(value)
        name = value.name or "" if value is not None else ""
        if name not in self.axes_of:
            weight = value is not None and value.is_initializer()
            self.axes_of[name] = [
                self.fresh(length) if weight and length > 1 else None for length in shape
            ]
        return list(self.axes_of[name])

    def give(self, value: ir.Value, axes: Axes) -> None:
        """Set the numbers on the axes of a node's output; one that is alone there must stay."""
        shape = self.shape(value)
        lengths = [None if ids is None else len(ids) for ids in axes]
        if len(axes) != len(shape) or any(
            found not in (None, length) for found, length in zip(lengths, shape, strict=True)
        ):
            raise Refusal("an output of unexpected shape")
        producer = value.producer()
        for ids, length in zip(axes, shape, strict=True):
            if length == 1 and producer is not None:
                self.pin(ids, producer, "leaves one of them on an axis")
        self.axes_of[value.name or ""] = [
            None if length == 1 or ids is None or (ids == FIXED).all() else ids
            for ids, length in zip(axes, shape, strict=True)
        ]

    def unite(self, one: Ids, other: Ids, node: ir.Node) -> None:
        """Say that channels at the same place of two arrays go together or stay together."""
        one, other = (np.ravel(part) for part in np.broadcast_arrays(one, other))
        both = (one != FIXED) & (other != FIXED)
        self.united.append((one[both], other[both]))
        self.pin(np.concatenate([one[~both], other[~both]]), node, "meets what cannot change")

    def join(self, parts: Iterable[Ids | None], node: ir.Node) -> Ids | None:
        """Unite the channels of axes that meet, and return them; None if one is fixed."""
        given = list(parts)
        live = [ids for ids in given if ids is not None]
        if len(live) < len(given):
            for ids in live:
                self.pin(ids, node, "meets what cannot change")
            return None
        for ids in live[1:]:
            if ids is not live[0]:
                self.unite(live[0], ids, node)
        return live[0] if live else None

    def pin(self, ids: Ids | None, node: ir.Node, reason: str) -> None:
        """Say that these channels must stay, and why."""
        if ids is None:
            return
        live = np.ravel(ids)[np.ravel(ids) != FIXED]
        if live.size:
            skip = Skip(where=node.name or node.op_type, reason=f"{node.op_type}: {reason}")
            self.pins.append((live, skip))

    def pin_value(self, value: ir.Value | None, node: ir.Node, reason: str) -> None:
        """Pin all channels of a value."""
        if value is None or value.name not in self._shapes:
            return
        for ids in self.axes(value):
            self.pin(ids, node, reason)

    def produce(self, node: ir.Node, weight: ir.Value, axis: int, output: Ids | None) -> None:
        """Note that `axis` of a weight makes the channels `output` of the node's output."""
        ids = self.axes(weight)[axis]
        if weight.is_initializer() and ids is not None and output is not None:
            self.productions.append(
                Production(
                    node=node.name or "", weight=(weight.name or "", axis), ids=ids, output=output
                )
            )

    def contract(
        self,
        node: ir.Node,
        data: tuple[ir.Value, int],
        weight: tuple[ir.Value, int],
        output: int | None,
    ) -> None:
        """Note that the node sums over an axis of `data` and one of `weight`."""
        known = weight[0].is_initializer()
        self.contractions.append(
            Contraction(
                node=node.name or "",
                data=(data[0].name or "", data[1]),
                weight=(weight[0].name or "", weight[1]) if known else None,
                output=(node.outputs[0].name or "", output) if output is not None else None,
            )
        )

    def product(self, node: ir.Node, axes: Iterable[Ids | None], macs: int | None = None) -> None:
        """Note that the node's multiply-adds are in proportion to the length of these axes."""
        if macs is None:
            macs = macs_of(
                node, lambda value: self._shapes.get(value.name or "") if value else None
            )
        live = tuple(ids for ids in axes if ids is not None)
        self.products.append((node.name or "", macs, live))

    def fix_products(self, node: ir.Node) -> None:
        """Say that the node's multiply-adds stay as they are, whatever was noted of them."""
        while self.products and self.products[-1][0] == node.name:
            self.products.pop()
        self.product(node, ())


def constant(node: ir.Node, index: int) -> list[int] | None:
    """Return a parameter of a node as whole numbers, None when it is absent.

    Raises:
        Refusal: it is computed.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return None
    found = constant_of(value)
    if found is None:
        raise Refusal("a parameter that is computed")
    return [int(number) for number in np.ravel(found)]
