"""The criteria: one file each, with the paper it follows."""

from __future__ import annotations

import difflib

from edgekit.errors import UsageError
from edgekit.pruning.criteria.activation import ActivationAware
from edgekit.pruning.criteria.batchnorm import BatchNormScale
from edgekit.pruning.criteria.contract import Criterion, Scores
from edgekit.pruning.criteria.magnitude import MagnitudeL1, MagnitudeL2
from edgekit.pruning.criteria.obs import BlockObs
from edgekit.pruning.criteria.random import Random
from edgekit.pruning.criteria.redundancy import Redundancy
from edgekit.pruning.criteria.taylor import Taylor

__all__ = [
    "CRITERIA",
    "ActivationAware",
    "BatchNormScale",
    "BlockObs",
    "Criterion",
    "MagnitudeL1",
    "MagnitudeL2",
    "Random",
    "Redundancy",
    "Scores",
    "Taylor",
    "find",
]

CRITERIA: tuple[type[Criterion], ...] = (
    BlockObs,
    ActivationAware,
    MagnitudeL1,
    MagnitudeL2,
    BatchNormScale,
    Taylor,
    Redundancy,
    Random,
)


def find(name: str) -> Criterion:
    """Return the criterion called `name`.

    Raises:
        UsageError: there is none; the message offers the nearest name.
    """
    known = {one.name: one for one in CRITERIA}
    if name in known:
        return known[name]()
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"unknown criterion {name!r}", where="criterion", remedy=hint)
