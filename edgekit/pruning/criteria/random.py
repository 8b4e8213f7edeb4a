"""The control: what any order gives."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores
from edgekit.pruning.evidence import Evidence, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Random scores, the same for the same group and seed.

    A criterion that does not beat it looks at nothing that matters; see Mittal et al. 2018,
    "Recovering from Random Pruning".
    """

    name: ClassVar[str] = "random"
    needs: ClassVar[Need] = "weights"
    merges: ClassVar[bool] = False
    seed: int = 0

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:  # noqa: ARG002  # the control looks at nothing
        """See `Criterion`."""
        generator = np.random.default_rng([zlib.crc32(group.name.encode()), self.seed])
        return generator.random(len(group.channels))
