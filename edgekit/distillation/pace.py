"""How far a training is, and how large its steps are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_WARMUP = 0.05
_LONGEST_WARMUP = 200
_LAST_RATE = 0.01


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far it is; what a checkpoint holds beside the weights.

    Attributes:
        total: steps in all.
        rate: largest learning rate.
        start, best: distance of held-out answers at the start, and the least since.
        best_step: where that was; 0 is the start.
        since: checks since the best.
        spent: seconds.
    """

    step: int = 0
    total: int = 0
    rate: float = 0.0
    start: float = math.inf
    start_alike: float | None = None
    best: float = math.inf
    best_alike: float | None = None
    best_step: int = 0
    since: int = 0
    spent: float = 0.0
    history: list[tuple[int, float, float]] = field(default_factory=list)


def scheduled(step: int, total: int, peak: float) -> float:
    """Return the learning rate: up in a line, then down by a cosine (Loshchilov & Hutter 2017)."""
    warmup = min(max(int(total * _WARMUP), 1), _LONGEST_WARMUP)
    if step < warmup:
        return peak * (step + 1) / warmup
    way = (step - warmup) / max(total - warmup, 1)
    return peak * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * way)))
