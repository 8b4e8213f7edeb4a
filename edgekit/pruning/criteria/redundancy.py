"""Filters that are nearly the same go first, one of each two: locality-sensitive hashing.

The signs of projections on random hyperplanes agree for two filters with probability
1 - angle / pi, so near-duplicates share a bucket of a few signs in at least one of several tables,
and only pairs that meet in a bucket are compared. `merging.merged` adds the columns of what went to
those of its twin.

Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms"; for filters:
Srinivas & Babu 2015, "Data-free parameter pruning for deep neural networks".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores
from edgekit.pruning.evidence import Evidence, Need

_TABLES = 16
_SIGNS = 8
_SEED = 2002
_CROWD = 256
"""A bucket of more is compared in parts of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redundancy:
    """How far a filter is from every larger one; those without a near one rank by their size."""

    name: ClassVar[str] = "redundancy"
    needs: ClassVar[Need] = "weights"
    merges: ClassVar[bool] = True

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        filters = vectors(group, evidence)
        norms = np.linalg.norm(filters, axis=1)
        scores: Scores = 1 + norms / max(float(norms.max(initial=0.0)), np.finfo(float).tiny)
        if not filters.size:
            return scores
        unit = filters / np.maximum(norms, np.finfo(float).tiny)[:, None]
        gone: set[int] = set()
        for cosine, smaller, larger in sorted(_near_pairs(unit, norms), reverse=True):
            if smaller not in gone and larger not in gone:
                scores[smaller] = 1 - cosine
                gone.add(smaller)
        return scores


def vectors(group: ChannelGroup, evidence: Evidence) -> npt.NDArray[np.float64]:
    """Return all weights that make each channel, shape (channels, elements).

    A weight in which channels have unequally many positions is left out.
    """
    channels = len(group.channels)
    parts = [np.zeros((channels, 0))]
    for places, rows in evidence.filters(group):
        live = np.flatnonzero(places >= 0)
        sizes = np.bincount(places[live], minlength=channels)
        if (sizes == sizes[0]).all() and sizes[0]:
            order = live[np.argsort(places[live], kind="stable")]
            parts.append(rows[order].reshape(channels, -1))
    return np.concatenate(parts, axis=1)


def _near_pairs(
    unit: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]
) -> set[tuple[float, int, int]]:
    """Return (cosine, smaller filter, larger filter) of the pairs that meet in a bucket."""
    generator = np.random.default_rng(_SEED)
    planes = generator.standard_normal((unit.shape[1], _TABLES * _SIGNS))
    signs = (unit @ planes > 0).reshape(len(unit), _TABLES, _SIGNS)
    keys = signs @ (1 << np.arange(_SIGNS))
    pairs: set[tuple[int, int]] = set()
    for table in range(_TABLES):
        order = np.argsort(keys[:, table], kind="stable")
        _, starts = np.unique(keys[order, table], return_index=True)
        for bucket in np.split(order, starts[1:]):
            for start in range(0, len(bucket), _CROWD):
                crowd = sorted(bucket[start : start + _CROWD].tolist())
                pairs.update(itertools.combinations(crowd, 2))
    found = set()
    for one, other in pairs:
        cosine = float(unit[one] @ unit[other])
        smaller, larger = (one, other) if norms[one] <= norms[other] else (other, one)
        if cosine > 0:
            found.add((cosine, smaller, larger))
    return found
