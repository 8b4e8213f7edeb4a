"""Channels whose removal changes the answers least, to first order, go first.

Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference";
the squared form and the gates are of Molchanov et al. 2019, "Importance Estimation for Neural
Network Pruning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores
from edgekit.pruning.evidence import Evidence, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Taylor:
    """The mean square of what all answers change by when a mask takes the channel away.

    In place of the papers' loss, which takes labels, stand the model's own answers; see
    `gradients`. A group that the answers do not depend on is worth nothing.
    """

    name: ClassVar[str] = "taylor"
    needs: ClassVar[Need] = "gradients"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        return evidence.gradients.get(group.name, np.zeros(len(group.channels)))
