"""Small filters go first: Li et al. 2017, "Pruning Filters for Efficient ConvNets"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores, summed
from edgekit.pruning.evidence import Evidence, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeL1:
    """The sum of |w| over all that makes the channel (Li et al. 2017, section 3.1)."""

    name: ClassVar[str] = "l1"
    needs: ClassVar[Need] = "weights"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        return _norm(group, evidence, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeL2:
    """The sum of w^2 over all that makes the channel (Li et al. 2017, section 4.4)."""

    name: ClassVar[str] = "l2"
    needs: ClassVar[Need] = "weights"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        return _norm(group, evidence, 2)


def _norm(group: ChannelGroup, evidence: Evidence, power: int) -> Scores:
    total = np.zeros(len(group.channels))
    for places, rows in evidence.filters(group):
        total += summed((np.abs(rows) ** power).sum(axis=1), places, len(total))
    return total
