"""Which units to keep in int8 under a limit of noise, so that the most time is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_MOST_STEPS = 200_000


def most_saved(
    gains: Mapping[str, float], costs: Mapping[str, float], limit: float
) -> frozenset[str]:
    """Return the items with the largest sum of gains whose costs sum to at most `limit`.

    Exact by branch and bound, items with the largest gain for their cost first, the rest of the
    room filled with a fraction of the next one as the bound; should that take more than 200,000
    steps, the best set that was seen, which is the greedy one or better.

    Args:
        gains: by item; what gains nothing is never taken.
        costs: by item, at least 0.
        limit: of the sum of costs.

    Source: Dantzig 1957, "Discrete-Variable Extremum Problems", for the order and the bound.
    """
    items = [name for name in gains if gains[name] > 0 and costs[name] <= limit]
    items.sort(key=lambda name: (-gains[name] / max(costs[name], 1e-300), name))
    pairs = [(gains[name], costs[name]) for name in items]
    best: tuple[float, tuple[int, ...]] = (0.0, ())
    waiting: list[tuple[int, float, float, tuple[int, ...]]] = [(0, 0.0, limit, ())]
    for _ in range(_MOST_STEPS):
        if not waiting:
            break
        at, gained, room, taken = waiting.pop()
        if gained > best[0]:
            best = gained, taken
        if at == len(pairs) or gained + _bound(pairs, at, room) <= best[0]:
            continue
        gain, cost = pairs[at]
        waiting.append((at + 1, gained, room, taken))
        if cost <= room:
            waiting.append((at + 1, gained + gain, room - cost, (*taken, at)))
    return frozenset(items[index] for index in best[1])


def _bound(pairs: Sequence[tuple[float, float]], at: int, room: float) -> float:
    """Return what the items from `at` on gain at most."""
    found = 0.0
    for gain, cost in pairs[at:]:
        if cost > room:
            return found + gain * room / cost
        found, room = found + gain, room - cost
    return found
