"""What the pass prune knows on its way from a dense model to a smaller one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.graph import Model
from edgekit.pruning.blocks import Block
from edgekit.pruning.constraints import Allowed
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.effects import Effect
from edgekit.pruning.fitting import LayerFit
from edgekit.pruning.survey import Survey
from edgekit.pruning.targets import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A model on its way.

    Attributes:
        kept: positions of the dense model's axes that are left.
        gone: residual blocks that are gone.
        turned: groups whose channels lie in the order of what they are worth.
        fits: what became of each layer when it was last fitted.
        effect: what the answers of held-out samples have changed; None without samples.
        time: latency against the dense model; None where it was not measured.
        seconds: latency, where one was asked for.
        chosen: which of several ways was taken.
    """

    model: Model
    kept: Kept
    gone: tuple[Block, ...] = ()
    turned: frozenset[str] = frozenset()
    fits: tuple[LayerFit, ...] = ()
    effect: Effect | None = None
    time: float | None = None
    seconds: float | None = None
    chosen: str = ""

    @property
    def loss(self) -> float:
        """What the answers have changed; 0 without samples."""
        return self.effect.loss if self.effect else 0.0

    @property
    def price(self) -> float:
        """What is least in the best of several ways: half the time is worth twice the change."""
        return self.loss * (self.time or 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is known before channels are chosen.

    Attributes:
        options: counts that each of the survey's groups may keep: those that kernels like.
        limit: what may be left, in the unit of the budget.
    """

    dense: Model
    state: State
    coupling: Coupling
    options: Sequence[Allowed]
    survey: Survey
    limit: float
