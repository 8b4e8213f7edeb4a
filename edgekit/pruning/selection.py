"""Groups by the names that users give: of a layer that makes the channels, or a pattern of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from edgekit.errors import UsageError
from edgekit.pruning.coupling import ChannelGroup, Coupling

LATENCY = "max_latency_s"
"""The budget that is no share of what the model has."""


def made_by(coupling: Coupling, pattern: str, *, where: str) -> tuple[ChannelGroup, ...]:
    """Return the groups whose channels a layer of this name makes, pinned ones, too.

    Args:
        coupling: of the model.
        pattern: the name of a node or of a group; or a pattern with `*`, `?` or `[...]`.
        where: the option or key that it is from, for messages.

    Raises:
        UsageError: no layer that makes channels is called so; the message offers the nearest.
    """
    names = {group.name: (group.name, *makers(coupling, group)) for group in coupling.groups}
    found = tuple(
        group
        for group in coupling.groups
        if any(name == pattern or fnmatchcase(name, pattern) for name in names[group.name])
    )
    if found:
        return found
    known = dict.fromkeys(name for several in names.values() for name in several)
    close = difflib.get_close_matches(pattern, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(
        f"no layer with channels is called {pattern!r}",
        where=where,
        remedy=f"{hint}`edgekit inspect --groups` lists them",
    )


def shares(coupling: Coupling, ratios: Mapping[str, float], *, where: str) -> dict[str, float]:
    """Return by group name the share of its channels that is to go; a later pattern wins.

    Args:
        coupling: of the model.
        ratios: by name or pattern of a layer.
        where: the option or key that they are from, for messages.

    Raises:
        UsageError: a share out of range, an unknown layer, or one with pinned channels only.
    """
    wanted: dict[str, float] = {}
    for pattern, share in ratios.items():
        check_share(share, where=f"{where} {pattern}")
        groups = made_by(coupling, pattern, where=where)
        free = [group for group in groups if group.pinned_by is None]
        if not free:
            reasons = (
                f"{one.pinned_by.where}: {one.pinned_by.reason}"
                for one in groups
                if one.pinned_by is not None
            )
            raise UsageError(
                f"the channels of {pattern!r} cannot be removed", where=where, found=next(reasons)
            )
        wanted |= {group.name: share for group in free}
    return wanted


def check_share(share: float, *, where: str) -> None:
    """Raise a UsageError unless `share` lies strictly between 0 and 1."""
    if not 0 < share < 1:
        raise UsageError(
            "the share is out of range",
            where=where,
            found=f"{share:g}",
            expected="more than 0 and less than 1",
        )


def check_limit(name: str, limit: float, *, where: str) -> None:
    """Raise a UsageError unless a budget, `keep_macs` or `max_latency_s` say, can be meant."""
    if name != LATENCY:
        check_share(limit, where=where)
    elif not 0 < limit < math.inf:
        raise UsageError("no possible latency", where=where, found=f"{limit:g} s")


def limits_of(options: Mapping[str, float | None]) -> dict[str, float]:
    """Return the budgets that options of a command gave; 0 is no way to ask for nothing.

    Raises:
        UsageError: one of them is out of range.
    """
    found = {name: limit for name, limit in options.items() if limit is not None}
    for name, limit in found.items():
        check_limit(name, limit, where=option_of(name))
    return found


def option_of(budget: str) -> str:
    """Return how a budget is called on the command line: `--max-latency` of `max_latency_s`."""
    return "--" + budget.removesuffix("_s").replace("_", "-")


def only_budget(given: Mapping[str, object], *, where: str) -> str:
    """Return the name of the one budget that is given.

    Args:
        given: by name; what is 0 or empty is not given.
        where: for the message.

    Raises:
        UsageError: none is given, or several are.
    """
    said = [name for name, value in given.items() if value]
    if len(said) != 1:
        raise UsageError(
            "how much is to go must be said in one way",
            where=where,
            found=" and ".join(said) or "none",
            expected=f"one of {', '.join(given)}",
        )
    return said[0]


def makers(coupling: Coupling, group: ChannelGroup) -> tuple[str, ...]:
    """Return the names of the nodes whose weights make a group's channels, each once."""
    return _users(coupling, group.producers)


def readers(coupling: Coupling, group: ChannelGroup) -> tuple[str, ...]:
    """Return the names of the nodes whose weights sum over a group's channels, each once."""
    return _users(coupling, group.consumers)


def _users(coupling: Coupling, weights: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    initializers = coupling.model.ir.graph.initializers
    found = (user.name or "" for name, _ in weights for user in initializers[name].consumers())
    return tuple(dict.fromkeys(found))
