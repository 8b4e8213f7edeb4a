"""Channels whose readers get little from them go first: E[x^2] |w|^2.

Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models" (Wanda), for
whole columns instead of single weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.pruning.coupling import ChannelGroup, Contraction
from edgekit.pruning.criteria.contract import Scores, summed
from edgekit.pruning.evidence import Array, Evidence, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationAware:
    """E[x^2] of the channel times the energy of its column, as a share, summed over all readers.

    In a product of two activations, as of queries and keys, the other's E[x^2] takes the place of
    the column.
    """

    name: ClassVar[str] = "activation"
    needs: ClassVar[Need] = "moments"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        total = np.zeros(len(group.channels))
        for contraction in evidence.contractions(group):
            total += energy_shares(group, contraction, evidence)
        return total


def energy_shares(group: ChannelGroup, contraction: Contraction, evidence: Evidence) -> Scores:
    """Return the share of each of the group's channels in what one reader gets from all it reads.

    Shape (len(group.channels),); zeros where nothing was measured.
    """
    ids, moments = evidence.coupling.on(*contraction.data), evidence.moments.get(contraction.data)
    if ids is None or moments is None:
        return np.zeros(len(group.channels))
    energy = moments * _columns(contraction, evidence, len(moments))
    shares = energy / max(float(energy.sum()), np.finfo(float).tiny)
    return summed(shares, evidence.places(group, ids), len(group.channels))


def _columns(contraction: Contraction, evidence: Evidence, length: int) -> Array:
    """Return what multiplies each position of the data: |column|^2, or the other's E[x^2]."""
    if contraction.weight is None:
        partner = evidence.partner(contraction)
        return np.ones(length) if partner is None else evidence.moments[partner]
    name, axis = contraction.weight
    weight = evidence.weight(name).astype(np.float64)[..., None]
    blocks = length // weight.shape[axis]
    outputs = next(other for other in range(weight.ndim) if other != axis)
    split = np.moveaxis(weight, (outputs, axis), (0, 1))
    parts = split.reshape(blocks, -1, weight.shape[axis], math.prod(split.shape[2:]))
    energy: Array = (parts**2).sum(axis=(1, 3)).reshape(-1)
    return energy
