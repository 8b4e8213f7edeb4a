"""What a criterion is."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from edgekit.pruning.coupling import ChannelGroup, Ids
from edgekit.pruning.evidence import Evidence, Need

Scores = npt.NDArray[np.float64]


class Criterion(Protocol):
    """A frozen dataclass that tells which channels of a group matter most.

    Attributes:
        name: as users write it.
        needs: what must be measured before it can tell.
        merges: what it lets go has a twin that stays and can take over what it did.
    """

    name: ClassVar[str]
    needs: ClassVar[Need]
    merges: ClassVar[bool]

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """Return one number a channel, shape (len(group.channels),); higher = keep.

        Scores are compared within the group only.

        Raises:
            UsageError: the model lacks what the criterion looks at.
        """
        ...


def summed(values: npt.NDArray[np.floating], places: Ids, channels: int) -> Scores:
    """Return the sum of `values` over the positions of each channel.

    Args:
        values: one a position.
        places: of its channel, negative for what is no channel of the group.
        channels: how many there are.
    """
    live = places >= 0
    total: Scores = np.bincount(places[live], values[live], channels).astype(np.float64)
    return total
