"""What the others cannot make up for stays: block Optimal Brain Surgeon.

Of y = W x with second moments H = E[x x'], removing columns B and refitting all the others costs

    tr(W_B (H^-1_BB)^-1 W_B')

and leaves W - W_B (H^-1_BB)^-1 H^-1_B: and H^-1 - H^-1_:B (H^-1_BB)^-1 H^-1_B:, from where the next
channel is chosen. What one channel costs so depends on which went before it.

Source: Hassibi & Stork 1993, "Second order derivatives for network pruning"; blocks as in Frantar
& Alistarh 2022, "Optimal Brain Compression".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack

from edgekit.pruning.coupling import FIXED, ChannelGroup, Ids
from edgekit.pruning.criteria.activation import energy_shares
from edgekit.pruning.criteria.contract import Scores
from edgekit.pruning.evidence import Evidence, Need, Reading
from edgekit.pruning.ridge import STRENGTH

Matrix = npt.NDArray[np.float64]

_AT_ONCE = 32
"""One in so many of the channels that are left goes at each step; below twice as many, one."""
_COMPACT = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockObs:
    """The order of elimination by what is lost after all readers are refitted.

    Errors of several readers add up, each relative to the energy of its output. A reader whose
    Gram matrix is not known counts as if its inputs were uncorrelated.
    """

    name: ClassVar[str] = "obs"
    needs: ClassVar[Need] = "grams"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        known: list[_Reader] = []
        apart = np.zeros(len(group.channels))
        for contraction in evidence.contractions(group):
            readings = evidence.readings(group, contraction)
            known.extend(_Reader(one, energy) for one in readings if (energy := _energy(one)) > 0)
            if not readings:
                apart += energy_shares(group, contraction, evidence)
        return _elimination(known, apart) if known else apart


def _elimination(readers: list[_Reader], apart: Scores) -> Scores:
    """Return the rank at which each channel goes, 0 first."""
    rank = np.empty(len(apart))
    left = np.arange(len(apart))
    while len(left):
        errors = apart[left] + sum(reader.errors(len(apart))[left] for reader in readers)
        order = np.argsort(errors, kind="stable")[: max(1, len(left) // _AT_ONCE)]
        rank[left[order]] = len(apart) - len(left) + np.arange(len(order))
        gone = left[order]
        left = np.delete(left, order)
        if len(left):
            for reader in readers:
                reader.remove(gone)
    return rank


def _energy(reading: Reading) -> float:
    """Return the mean square of what is made of the input, without the bias."""
    columns = reading.gram[:-1, :-1]
    return float(((reading.weight @ columns) * reading.weight).sum())


class _Reader:
    """One affine map while its columns are eliminated; what is gone has channel `_GONE`."""

    _GONE = -2

    def __init__(self, reading: Reading, energy: float) -> None:
        gram = reading.gram
        pull = STRENGTH * float(np.trace(gram)) / len(gram)
        weight = np.concatenate([reading.weight, np.zeros((len(reading.weight), 1))], axis=1)
        self._weight = weight / np.sqrt(energy)
        self._channels = np.append(reading.channels, FIXED)
        factor, _ = lapack.dpotrf(gram + pull * np.eye(len(gram)), lower=1, overwrite_a=1)
        lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
        self._inverse = np.asfortranarray(np.tril(lower) + np.tril(lower, -1).T)

    def errors(self, channels: int) -> Scores:
        """Return what the removal of each channel alone costs now; 0 for those not read."""
        found = np.zeros(channels)
        for members, columns in _blocks(self._channels):
            inner = self._inverse[columns[:, :, None], columns[:, None, :]]
            outer = self._weight[:, columns].transpose(1, 2, 0)
            solved = np.linalg.solve(inner, outer)
            found[members] = np.einsum("amo,amo->a", outer, solved)
        return found

    def remove(self, gone: Ids) -> None:
        """Remove channels, by their places in the group, and refit the rest."""
        columns = np.flatnonzero(np.isin(self._channels, gone))
        if not len(columns):
            return
        rows = np.asfortranarray(self._inverse[columns])
        step = np.linalg.solve(rows[:, columns], rows)
        self._weight -= self._weight[:, columns] @ step
        self._inverse = blas.dgemm(
            -1.0, rows, step, 1.0, self._inverse, trans_a=True, overwrite_c=True
        )
        self._channels[columns] = self._GONE
        stays = self._channels != self._GONE
        if stays.mean() < _COMPACT:
            self._channels = self._channels[stays]
            self._weight = self._weight[:, stays]
            self._inverse = np.asfortranarray(self._inverse[np.ix_(stays, stays)])


def _blocks(channels: Ids) -> list[tuple[Ids, Ids]]:
    """Return (channels, their columns (channels, size)) for each size of block that occurs."""
    live = np.flatnonzero(channels >= 0)
    order = live[np.argsort(channels[live], kind="stable")]
    members, starts, sizes = np.unique(channels[order], return_index=True, return_counts=True)
    found = []
    for size in np.unique(sizes):
        alike = sizes == size
        found.append((members[alike], order[starts[alike][:, None] + np.arange(size)]))
    return found
