"""Channels that batch norm scales down go first: Liu et al. 2017, network slimming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.errors import UsageError
from edgekit.pruning.coupling import ChannelGroup
from edgekit.pruning.criteria.contract import Scores, summed
from edgekit.pruning.criteria.magnitude import MagnitudeL1
from edgekit.pruning.evidence import Evidence, Need

_SCALE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormScale:
    """The sum of |scale| of the channel's BatchNormalizations.

    A group without any (its neighbours have some) is scored by L1 magnitude.

    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming".
    """

    name: ClassVar[str] = "batchnorm"
    needs: ClassVar[Need] = "weights"
    merges: ClassVar[bool] = False

    def score(self, group: ChannelGroup, evidence: Evidence) -> Scores:
        """See `Criterion`."""
        coupling = evidence.coupling
        scales = [
            node.inputs[_SCALE]
            for node in coupling.model.ir.graph
            if node.op_type == "BatchNormalization"
        ]
        names = [value.name or "" for value in scales if value is not None and value.const_value]
        if not names:
            raise UsageError(
                "no BatchNormalization is left to rank channels by",
                where=f"criterion {self.name}",
                found="batch norms folded into weights",
                remedy="export the model without folding them (in a profile, simplify with "
                "keep_norms), or choose another criterion, such as obs",
            )
        total, seen = np.zeros(len(group.channels)), False
        for name in names:
            ids = coupling.on(name, 0)
            places = None if ids is None else evidence.places(group, ids)
            if places is not None and (places >= 0).any():
                total += summed(np.abs(evidence.weight(name)), places, len(total))
                seen = True
        return total if seen else MagnitudeL1().score(group, evidence)
