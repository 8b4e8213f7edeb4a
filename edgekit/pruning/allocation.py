"""Which group gives up how much: from a table of losses and a budget to counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.errors import UnreachableError
from edgekit.pruning.budget import Cost, Counts
from edgekit.pruning.coupling import ChannelGroup, Coupling, Ids, Keep

Scores = npt.NDArray[np.float64]
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What cutting one group costs.

    Attributes:
        group: its name.
        counts: how many channels were kept, descending; the first is all of them.
        losses: mean squared change of the outputs relative to their variance, at each count; the
            first is 0.
        agreements: share of equal top answers, at each count.
    """

    group: str
    counts: tuple[int, ...]
    losses: tuple[float, ...]
    agreements: tuple[float, ...] = ()

    def at(self, count: int) -> float:
        """Return the loss at a count, interpolated between measured ones; it never falls."""
        worst = np.maximum.accumulate(self.losses)
        return float(np.interp(count, self.counts[::-1], worst[::-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was decided about one group, and what it alone is expected to cost.

    Attributes:
        loss: see `Losses`; None where nothing was measured.
    """

    group: str
    channels: int
    kept: int
    loss: float | None = None


def by_loss(
    table: Sequence[Losses],
    allowed: Sequence[tuple[int, ...]],
    cost: Cost,
    limit: float,
    *,
    price: Cost | None = None,
) -> Counts:
    """Return the counts of one global ranking: the least loss for what is saved goes first.

    Greedy over all lower counts of every group, so that a step that saves little does not hide a
    larger one that saves much. What is then left of the budget is given back where it spares most.

    Args:
        table: what each group costs.
        allowed: counts that each may keep, descending, as `levels.allowed` gives them.
        cost: what is limited.
        limit: in its unit.
        price: what is saved, where that is not what is limited: time, say.

    Raises:
        UnreachableError: even the least counts cost more.
    """
    price = price or cost
    losses = [
        np.array([row.at(count) for count in counts])
        for row, counts in zip(table, allowed, strict=True)
    ]
    counts = _descended(losses, allowed, cost, limit, price)
    return _refilled(losses, allowed, cost, limit, price=price, counts=counts)


def uniform(allowed: Sequence[tuple[int, ...]], cost: Cost, limit: float) -> Counts:
    """Return the counts of one share for all groups: the largest share within the limit.

    Raises:
        UnreachableError: even the least counts cost more.
    """
    shares = {count / counts[0] for counts in allowed for count in counts}
    found = dense(allowed)
    for share in sorted(shares, reverse=True):
        found = _at_share(allowed, share)
        if cost.total(found) <= limit * (1 + _ROUNDING):
            return found
    raise unreachable(cost.total(found), cost, limit)


def dense(allowed: Sequence[tuple[int, ...]]) -> Counts:
    """Return the counts that keep everything."""
    return np.array([counts[0] for counts in allowed], np.int64)


def flags(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    scores: Mapping[str, Scores],
    counts: Counts,
) -> Keep:
    """Return which channels stay: of each group those with the highest scores.

    Of a group with several parts, as before a Split, one channel more stays on each axis that
    would be left without.

    Args:
        coupling: of the model.
        groups: those that are cut; all others stay whole.
        scores: by group name, one a channel.
        counts: how many channels of each of `groups` stay.
    """
    keep = coupling.everything()
    for group, count in zip(groups, counts.tolist(), strict=True):
        keep[_lowest(group, scores[group.name], count)] = False
    return coupling.spared(keep)


def flags_of(coupling: Coupling, group: ChannelGroup, scores: Scores, count: int) -> Keep:
    """Return which channels stay when `count` of one group do, and all of the others."""
    keep = coupling.everything()
    keep[_lowest(group, scores, count)] = False
    return coupling.spared(keep)


def _lowest(group: ChannelGroup, scores: Scores, count: int) -> Ids:
    """Return the channels with the lowest scores, all but `count` of them."""
    order = np.argsort(scores, kind="stable")
    found: Ids = group.channels[order[: len(order) - count]]
    return found


def _descended(
    losses: Sequence[Scores],
    allowed: Sequence[tuple[int, ...]],
    cost: Cost,
    limit: float,
    price: Cost,
) -> Counts:
    """Return the counts within the limit; those for a lower one are never above them."""
    options = [np.array(counts) for counts in allowed]
    places = np.zeros(len(allowed), np.int64)
    counts = dense(allowed)
    spent, whole = cost.total(counts), price.total(counts)
    prices = np.full(len(allowed), np.inf)
    targets = np.zeros(len(allowed), np.int64)
    stale = np.arange(len(allowed))
    while spent > limit * (1 + _ROUNDING):
        for group in stale.tolist():
            place = int(places[group])
            saved = price.savings(counts, group, options[group][place + 1 :])
            lost = losses[group][place + 1 :] - losses[group][place]
            with np.errstate(divide="ignore", invalid="ignore"):
                paid = np.where(saved > _ROUNDING * whole, lost / saved, np.inf)
            best = int(np.argmin(paid)) if len(paid) else 0
            prices[group] = paid[best] if len(paid) else np.inf
            targets[group] = place + 1 + best
        group = int(np.argmin(prices))
        if not np.isfinite(prices[group]):
            raise unreachable(spent, cost, limit)
        place, target = int(places[group]), int(targets[group])
        before = counts.copy()
        counts[group] = options[group][target]
        spent = cost.total(counts)
        if spent <= limit * (1 + _ROUNDING):
            return _first_within(before, group, options[group][place + 1 : target + 1], cost, limit)
        places[group] = target
        stale = price.touched_by(group)
    return counts


def _refilled(
    losses: Sequence[Scores],
    allowed: Sequence[tuple[int, ...]],
    cost: Cost,
    limit: float,
    *,
    price: Cost,
    counts: Counts,
) -> Counts:
    """Raise counts, one at a time, by the most loss that is spared for its cost, while they fit."""
    left = limit * (1 + _ROUNDING) - cost.total(counts)
    places = [row.index(count) for row, count in zip(allowed, counts.tolist(), strict=True)]
    while True:
        best, chosen = 0.0, None
        for group, place in enumerate(places):
            if place == 0:
                continue
            higher = np.array(allowed[group][:place])
            dearer = -cost.savings(counts, group, higher)
            spared = losses[group][place] - losses[group][:place]
            fits = (dearer <= left) & (dearer > 0)
            paid = dearer if price is cost else -price.savings(counts, group, higher)
            worth = np.where(fits, spared / np.where(fits & (paid > 0), paid, np.inf), 0.0)
            if len(worth) and worth.max() > best:
                best, chosen = float(worth.max()), (group, int(worth.argmax()))
        if chosen is None:
            return counts
        group, place = chosen
        left += float(cost.savings(counts, group, np.array([allowed[group][place]]))[0])
        counts[group], places[group] = allowed[group][place], place


def unreachable(least: float, cost: Cost, limit: float) -> UnreachableError:
    """Return the error that says how far a model can go at all.

    Args:
        least: what is left of it then, in the unit of `cost`.
        cost: of the model.
        limit: what was asked for, in that unit.
    """
    share = least / cost.dense
    return UnreachableError(
        "the budget cannot be reached by removing channels",
        where="prune",
        found=f"{limit / cost.dense:.1%} of the model",
        expected=f"at least {share:.1%}",
        remedy=f"keep {math.ceil(100 * share) / 100:g} or more; `edgekit inspect --groups` tells "
        "what is pinned and why",
    )


def _at_share(allowed: Sequence[tuple[int, ...]], share: float) -> Counts:
    """Return for each group the largest allowed count within this share of it."""
    found = [
        next((count for count in counts if count <= share * counts[0] + _ROUNDING), counts[-1])
        for counts in allowed
    ]
    return np.array(found, np.int64)


def _first_within(
    counts: Counts, group: int, options: npt.NDArray[np.int64], cost: Cost, limit: float
) -> Counts:
    """Return the counts with the first of one group's options that is within the limit."""
    for option in options.tolist():
        counts[group] = option
        if cost.total(counts) <= limit * (1 + _ROUNDING):
            break
    return counts
