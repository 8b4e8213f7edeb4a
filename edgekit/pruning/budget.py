"""What a budget limits, as a function of how many channels each group keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgekit.pruning.coupling import FIXED, ChannelGroup, Coupling, Ids, Keep

_THEORY = 0.1

Counts = npt.NDArray[np.int64]
"""How many channels each group keeps, in the order of the groups."""
Savings = npt.NDArray[np.float64]
_Product = tuple[float, tuple[Ids, ...]]
"""An amount at full length, and the axes that shorten it."""


class Cost(Protocol):
    """What is limited: multiply-adds, parameters, microseconds."""

    @property
    def dense(self) -> float:
        """The cost of the model as it is."""
        ...

    def total(self, counts: Counts) -> float:
        """Return the cost of the whole model."""
        ...

    def savings(self, counts: Counts, group: int, options: Counts) -> Savings:
        """Return what is saved by giving one group each of these counts, the others left alone."""
        ...

    def touched_by(self, group: int) -> Counts:
        """Return the groups whose savings depend on the count of this one, itself included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """The share of an axis that is left: `fixed` + sum of `slopes` x counts of `groups`."""

    fixed: float
    groups: Counts
    slopes: Savings

    def share(self, counts: Counts) -> float:
        return self.fixed + float(self.slopes @ counts[self.groups])

    def shares(self, counts: Counts, group: int, options: Counts) -> Savings:
        slope = float(self.slopes[self.groups == group].sum())
        found: Savings = self.share(counts) + slope * (options - counts[group])
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCost:
    """A sum of products of axis lengths: multiply-adds, or the elements of weights.

    Attributes:
        constant: what no group changes.
        terms: (amount at full length, the axes that groups shorten) of each product.
        of_group: numbers of the terms that each group is part of.
    """

    constant: float
    terms: tuple[tuple[float, tuple[_Axis, ...]], ...]
    of_group: tuple[tuple[int, ...], ...]

    @property
    def dense(self) -> float:
        """See `Cost`."""
        return self.constant + sum(amount for amount, _ in self.terms)

    def total(self, counts: Counts) -> float:
        """See `Cost`."""
        return self.constant + sum(
            amount * math.prod(axis.share(counts) for axis in axes) for amount, axes in self.terms
        )

    def savings(self, counts: Counts, group: int, options: Counts) -> Savings:
        """See `Cost`."""
        saved = np.zeros(len(options))
        for term in self.of_group[group]:
            amount, axes = self.terms[term]
            now = math.prod(axis.share(counts) for axis in axes)
            then = np.ones(len(options))
            for axis in axes:
                then *= axis.shares(counts, group, options)
            saved += amount * (now - then)
        return saved

    def touched_by(self, group: int) -> Counts:
        """See `Cost`."""
        axes = (axis for term in self.of_group[group] for axis in self.terms[term][1])
        return np.unique(np.concatenate([[group], *(axis.groups for axis in axes)])).astype(int)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCost:
    """Latency from a table of what was measured; savings of groups add up.

    Attributes:
        dense: latency of the model as it is, microseconds.
        saved_us: for each group what is saved at each count from 0 to all of its channels.
    """

    dense: float
    saved_us: tuple[Savings, ...]

    def total(self, counts: Counts) -> float:
        """See `Cost`."""
        saved = sum(float(row[c]) for row, c in zip(self.saved_us, counts, strict=True))
        return self.dense - saved

    def savings(self, counts: Counts, group: int, options: Counts) -> Savings:
        """See `Cost`."""
        row = self.saved_us[group]
        saved: Savings = row[options] - row[counts[group]]
        return saved

    def touched_by(self, group: int) -> Counts:
        """See `Cost`."""
        return np.array([group])


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTime:
    """What a count saves in time, with a little of what it saves in theory.

    The table of latencies is coarse, and shows nothing for a step of few channels.

    Attributes:
        latency: as measured.
        theory: multiply-adds, or parameters.
    """

    latency: LatencyCost
    theory: Cost

    @property
    def dense(self) -> float:
        """See `Cost`."""
        return self.latency.dense

    def total(self, counts: Counts) -> float:
        """See `Cost`."""
        return self.latency.total(counts)

    def savings(self, counts: Counts, group: int, options: Counts) -> Savings:
        """See `Cost`."""
        scale = _THEORY * self.latency.dense / max(self.theory.dense, 1.0)
        measured = self.latency.savings(counts, group, options)
        found: Savings = measured + scale * self.theory.savings(counts, group, options)
        return found

    def touched_by(self, group: int) -> Counts:
        """See `Cost`."""
        return self.theory.touched_by(group)


def macs_cost(coupling: Coupling, groups: Sequence[ChannelGroup]) -> ProductCost:
    """Return the multiply-adds as a function of the counts of `groups`."""
    return _product_cost(coupling, groups, _of_macs(coupling))


def parameters_cost(coupling: Coupling, groups: Sequence[ChannelGroup]) -> ProductCost:
    """Return the elements of all initializers as a function of the counts of `groups`."""
    return _product_cost(coupling, groups, _of_parameters(coupling))


def macs_left(coupling: Coupling, keep: Keep) -> float:
    """Return the multiply-adds of the model with these channels alone.

    Exact, where `macs_cost` takes all channels of a group for equally wide and equally spread.
    """
    return _left(_of_macs(coupling), keep)


def parameters_left(coupling: Coupling, keep: Keep) -> float:
    """Return the elements of all initializers of the model with these channels alone."""
    return _left(_of_parameters(coupling), keep)


def latency_cost(
    groups: Sequence[ChannelGroup],
    dense_us: float,
    saved_us: Mapping[str, Mapping[int, float]],
) -> LatencyCost:
    """Return latency as a function of the counts of `groups`.

    Args:
        groups: their order is that of the counts.
        dense_us: latency of the dense model, microseconds.
        saved_us: by group name, count to microseconds saved; between measured counts it is
            interpolated, below the least one it stays what it is there.
    """
    rows = []
    for group in groups:
        channels = len(group.channels)
        known = {channels: 0.0, **saved_us.get(group.name, {})}
        counts = sorted(known)
        rows.append(np.interp(np.arange(channels + 1), counts, [known[c] for c in counts]))
    return LatencyCost(dense=dense_us, saved_us=tuple(rows))


def _of_macs(coupling: Coupling) -> list[_Product]:
    return [(float(product.macs), product.axes) for product in coupling.products]


def _of_parameters(coupling: Coupling) -> list[_Product]:
    products = []
    for name, value in coupling.model.ir.graph.initializers.items():
        shape = () if value.shape is None else tuple(map(int, value.shape.numpy()))
        found = (coupling.on(name, axis) for axis in range(len(shape)))
        axes = tuple(ids for ids in found if ids is not None)
        products.append((float(math.prod(shape)), axes))
    return products


def _left(products: Sequence[_Product], keep: Keep) -> float:
    shares = (
        (float(np.mean((one == FIXED) | keep[one])) for one in axes) for _amount, axes in products
    )
    return sum(
        amount * math.prod(share) for (amount, _axes), share in zip(products, shares, strict=True)
    )


def _product_cost(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    products: Sequence[_Product],
) -> ProductCost:
    group_of = np.full(coupling.count, FIXED)
    for number, group in enumerate(groups):
        group_of[group.channels] = number
    sizes = np.array([len(group.channels) for group in groups], dtype=np.int64)
    constant = 0.0
    terms: list[tuple[float, tuple[_Axis, ...]]] = []
    of_group: list[list[int]] = [[] for _ in groups]
    for amount, ids in products:
        axes = [axis for one in ids if (axis := _axis(one, group_of, sizes)) is not None]
        if not axes:
            constant += amount
            continue
        for owner in sorted({int(number) for axis in axes for number in axis.groups}):
            of_group[owner].append(len(terms))
        terms.append((amount, tuple(axes)))
    return ProductCost(constant=constant, terms=tuple(terms), of_group=tuple(map(tuple, of_group)))


def _axis(ids: Ids, group_of: Ids, sizes: Counts) -> _Axis | None:
    """Return the axis, None when no group shortens it.

    A group's part of an axis shrinks in proportion to its count: exact when all its channels have
    equally many positions there.
    """
    owners = np.where(ids == FIXED, FIXED, group_of[ids])
    groups, positions = np.unique(owners[owners != FIXED], return_counts=True)
    if not len(groups):
        return None
    return _Axis(
        fixed=1 - positions.sum() / len(ids),
        groups=groups,
        slopes=positions / sizes[groups] / len(ids),
    )
