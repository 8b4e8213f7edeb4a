"""In how many steps channels go: the share that is kept after each."""

from __future__ import annotations

from edgekit.errors import UsageError


def iterative(keep: float, steps: int) -> tuple[float, ...]:
    """Return the shares of a schedule whose every step removes the same part of what is left.

    Args:
        keep: share that stays in the end, above 0 and at most 1.
        steps: at least 1; 1 is one shot.

    >>> iterative(0.25, 2)
    (0.5, 0.25)
    """
    _check(keep, steps)
    return tuple(keep ** (step / steps) for step in range(1, steps + 1))


def polynomial(start: float, end: float, steps: int, power: float = 3.0) -> tuple[float, ...]:
    """Return the shares of a polynomial decay between two: fast at first, then ever slower.

    Args:
        start: share that is kept after the first step.
        end: share that stays in the end, not above `start`.
        steps: at least 1.
        power: 3 in the paper; 1 is linear.

    Source: Zhu & Gupta 2017, "To prune, or not to prune", section 3.
    """
    _check(start, steps)
    _check(end, steps)
    if end > start:
        raise UsageError(
            "a schedule cannot give channels back",
            where="prune",
            found=f"{start:g} to {end:g}",
            expected="a second share not above the first",
        )
    if steps == 1:
        return (end,)
    return tuple(end + (start - end) * (1 - step / (steps - 1)) ** power for step in range(steps))


def _check(share: float, steps: int) -> None:
    if not 0 < share <= 1:
        raise UsageError(
            "the share that is kept is out of range",
            where="prune",
            found=f"{share:g}",
            expected="above 0 and at most 1",
        )
    if steps < 1:
        raise UsageError("a schedule needs steps", where="prune", found=str(steps), expected="1")
