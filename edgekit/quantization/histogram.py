"""Histograms on a fixed logarithmic grid, read off the bits of each float32.

The sign, the exponent and the six highest mantissa bits of a value are its bin. The grid is the
same for every tensor and sample and counts are integers, so adding samples in any order, or
merging the histograms of any shards, gives the same result bit for bit, and nothing ever has to
be widened or rescaled.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_MANTISSA_BITS = 6
_SHIFT = 23 - _MANTISSA_BITS
_OCTAVES = 24
"""Magnitudes from 2^-24 to 2^24 are told apart; smaller ones count as 0, larger as the largest."""
_LOWEST = (127 - _OCTAVES) << _MANTISSA_BITS
_CODES = 1 << (31 - _SHIFT)
_HALF = 2 * _OCTAVES << _MANTISSA_BITS
BINS = 2 * _HALF
POSITIONS = 2048
"""About how many elements of one sample's tensor are counted; all decide minimum and maximum."""
_SUBPOINTS = 4
_HIGH_HALF = 1 if sys.byteorder == "little" else 0
_PENDING = 1 << 16


@dataclass(slots=True, kw_only=True)
class Histogram:
    """What calibration keeps of one tensor; its size does not depend on the number of samples.

    Attributes:
        low, high: exact minimum and maximum over every element seen.
        counts: int64, shape (BINS,): elements in each bin, over about `POSITIONS` elements of
            each sample; non-negative values first, then negative ones, both by magnitude.
        size: elements in one sample's tensor, the most seen.
        pending: bits of elements that wait to be put into bins.
    """

    low: float
    high: float
    counts: Counts
    size: int
    pending: list[npt.NDArray[np.uint16]] = field(default_factory=list)

    @classmethod
    def empty(cls) -> Histogram:
        """Return the histogram of nothing, the neutral element of `merged`."""
        return cls(low=math.inf, high=-math.inf, counts=np.zeros(BINS, np.int64), size=0)

    def count(self, values: Floats) -> None:
        """Count these elements, shape (n,); many samples' are put into bins at once."""
        bits = np.ascontiguousarray(values, np.float32).view(np.uint16)
        codes = (bits[_HIGH_HALF::2] >> np.uint16(_SHIFT - 16)).astype(np.uint16, copy=False)
        self.pending.append(codes)
        if sum(map(len, self.pending)) > _PENDING:
            self.settle()

    def settle(self) -> None:
        """Put what waits into bins."""
        if self.pending:
            self.counts += _counts_of(np.concatenate(self.pending))
            self.pending.clear()

    def merged(self, other: Histogram) -> Histogram:
        """Return the histogram of both parts' data."""
        self.settle()
        other.settle()
        return Histogram(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            counts=self.counts + other.counts,
            size=max(self.size, other.size),
        )

    def points(self) -> tuple[Doubles, Doubles]:
        """Return values and their weights that stand for the data, each of shape (n,).

        A bin within three octaves of the maximum becomes a few points spread evenly over it,
        because there it can be wider than a step of an 8-bit grid. Points never leave
        [low, high].
        """
        self.settle()
        used = np.flatnonzero(self.counts)
        inner, outer = _edges(used)
        counts = self.counts[used].astype(np.float64)
        wide = np.abs(outer) > max(-self.low, self.high) / 8
        share = (np.arange(_SUBPOINTS) + 0.5) / _SUBPOINTS
        spread = inner[wide, None] + (outer - inner)[wide, None] * share
        values = np.concatenate([(inner + outer)[~wide] / 2, spread.reshape(-1)])
        weights = np.concatenate([counts[~wide], np.repeat(counts[wide] / _SUBPOINTS, _SUBPOINTS)])
        return np.clip(values, self.low, self.high), weights


def _counts_of(codes: npt.NDArray[np.uint16]) -> Counts:
    every = np.bincount(codes, minlength=2 * _CODES).reshape(2, _CODES)
    kept = every[:, _LOWEST : _LOWEST + _HALF].copy()
    kept[:, 0] += every[:, :_LOWEST].sum(axis=1)
    kept[:, -1] += every[:, _LOWEST + _HALF :].sum(axis=1)
    return kept.reshape(-1)


def _edges(bins: npt.NDArray[np.intp]) -> tuple[Doubles, Doubles]:
    magnitude = bins % _HALF
    codes = np.stack([magnitude, magnitude + 1]) + _LOWEST
    inner, outer = (codes.astype(np.uint32) << _SHIFT).view(np.float32).astype(np.float64)
    smallest = magnitude == 0
    inner[smallest] = outer[smallest] = 0.0
    sign = np.where(bins < _HALF, 1.0, -1.0)
    return inner * sign, outer * sign
