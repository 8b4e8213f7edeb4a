"""What the user says about single layers: which stay whole, and which lose how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.pruning.coupling import ChannelGroup, Coupling
from edgekit.pruning.selection import made_by, shares

Allowed = tuple[int, ...]
"""Counts that a group may keep, descending."""


def constrained(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    allowed: Sequence[Allowed],
    *,
    ignored: Sequence[str] = (),
    ratios: Mapping[str, float] | None = None,
) -> list[Allowed]:
    """Return what each group may keep after the user's word.

    Args:
        coupling: of the model.
        groups: none of them pinned.
        allowed: what each of them may keep otherwise, the first being all its channels.
        ignored: names or patterns of layers that stay whole.
        ratios: name or pattern of a layer to the share that is removed; the nearest allowed count
            is taken.

    Raises:
        UsageError: see `selection.shares` and `selection.made_by`.
    """
    removed = shares(coupling, ratios or {}, where="ratio")
    whole = {one.name for name in ignored for one in made_by(coupling, name, where="ignore")}
    found = []
    for group, counts in zip(groups, allowed, strict=True):
        if group.name in whole:
            found.append(counts[:1])
        elif group.name in removed:
            wanted = (1 - removed[group.name]) * counts[0]
            found.append((_nearest(counts, wanted),))
        else:
            found.append(counts)
    return found


def _nearest(counts: Allowed, wanted: float) -> int:
    return min(counts, key=lambda count: abs(count - wanted))
