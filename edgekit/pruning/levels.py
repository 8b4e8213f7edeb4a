"""How many channels a group may keep."""

from __future__ import annotations

import math

import numpy as np

_HALVINGS = 3
"""Below one block of the kernels: a half, a quarter, an eighth of it."""


def allowed(channels: int, width: int, multiple: int) -> tuple[int, ...]:
    """Return the counts that a group may keep, descending, `channels` itself first.

    Whole blocks of the kernels, `multiple` positions each, and a few halves of the last one, so
    that groups which are no larger can be cut at all. One channel always stays.

    Args:
        channels: how many the group has.
        width: positions that one of its channels takes.
        multiple: the channel count that the target's kernels block by; 1 for any.

    >>> allowed(64, 1, 16)
    (64, 48, 32, 16, 8, 4, 2)
    >>> allowed(3, 32, 16)
    (3, 2, 1)
    """
    step = multiple // math.gcd(multiple, width)
    blocks = range(step * ((channels - 1) // step), 0, -step)
    block = min(step, channels)
    halves = [block >> shift for shift in range(1, _HALVINGS + 1) if block >> shift]
    return tuple(sorted({channels, *blocks, *halves}, reverse=True))


def sampled(counts: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return at most `most` of these counts, evenly spread; the first and the last are among them.

    >>> sampled((9, 8, 7, 6, 5, 4, 3, 2, 1), 5)
    (9, 7, 5, 3, 1)
    """
    places = np.linspace(0, len(counts) - 1, min(most, len(counts)))
    return tuple(counts[place] for place in np.rint(places).astype(int).tolist())
