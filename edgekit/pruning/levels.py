"""How many channels a group may keep."""

from __future__ import annotations

import math

import numpy as np

_HALVINGS = 3
"""Below one block of the kernels: a half, a quarter, an eighth of it."""


def allowed(channels: int, width: int, multiple: int, *, finer: bool = False) -> tuple[int, ...]:
    """Return the counts that a group may keep, descending, `channels` itself first.

    Whole blocks of the kernels, `multiple` positions each. A group of one block can give up halves
    of it, so that it can be cut at all. One channel always stays.

    Args:
        channels: how many the group has.
        width: positions that one of its channels takes.
        multiple: the channel count that the target's kernels block by; 1 for any.
        finer: whether larger groups, too, may go below one block. Kernels gain nothing by it, and
            may lose their layout: onnxruntime reorders what such a convolution reads.

    >>> allowed(64, 1, 16)
    (64, 48, 32, 16)
    >>> allowed(64, 1, 16, finer=True)
    (64, 48, 32, 16, 8, 4, 2)
    >>> allowed(3, 32, 16)
    (3, 2, 1)
    """
    step = multiple // math.gcd(multiple, width)
    blocks = range(step * ((channels - 1) // step), 0, -step)
    block = min(step, channels)
    shifts = range(1, _HALVINGS + 1) if finer or not blocks else ()
    halves = [block >> shift for shift in shifts if block >> shift]
    return tuple(sorted({channels, *blocks, *halves}, reverse=True))


def sampled(counts: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return at most `most` of these counts, evenly spread; the first and the last are among them.

    >>> sampled((9, 8, 7, 6, 5, 4, 3, 2, 1), 5)
    (9, 7, 5, 3, 1)
    """
    places = np.linspace(0, len(counts) - 1, min(most, len(counts)))
    return tuple(counts[place] for place in np.rint(places).astype(int).tolist())
