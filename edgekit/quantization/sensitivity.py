"""Which units must stay float so that the outputs stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.candidate import Skip
from edgekit.quantization.loss import Loss
from edgekit.quantization.plan import Unit

LossesOf = Callable[[Sequence[frozenset[str]]], list[Loss]]
"""The loss of each set of quantized units."""

_ATTEMPTS = 6
_TIGHTER = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """Units that may be quantized together, and what was taken out for it.

    Attributes:
        alone: the loss of each unit quantized alone; empty where nothing had to be taken out.
    """

    enabled: frozenset[str]
    loss: Loss
    skips: tuple[Skip, ...] = ()
    alone: dict[str, Loss] | None = None


def trimmed(
    units: Sequence[Unit],
    enabled: frozenset[str],
    losses_of: LossesOf,
    *,
    min_sqnr_db: float,
    max_unit_drop_pt: float | None = None,
) -> Trimmed:
    """Take out the noisiest units until the outputs keep `min_sqnr_db`.

    The noise of units adds up nearly as powers do, so the units' own losses foretell how many
    must go; what is foretold is then measured.

    Args:
        units: of the plan.
        enabled: where to start; names of units.
        losses_of: measures on calibration samples.
        min_sqnr_db: least signal to noise of the worst output.
        max_unit_drop_pt: a unit that alone is expected to change more answers than this, in
            percentage points, goes; None for no such limit.
    """
    (whole,) = losses_of([enabled])
    if whole.sqnr_db >= min_sqnr_db and max_unit_drop_pt is None:
        return Trimmed(enabled=enabled, loss=whole)
    names = [unit.name for unit in units if unit.name in enabled]
    alone = dict(zip(names, losses_of([frozenset((name,)) for name in names]), strict=True))
    skips: list[Skip] = []
    if max_unit_drop_pt is not None:
        for name in names:
            flips = alone[name].flips_pt
            if flips is not None and flips > max_unit_drop_pt:
                reason = f"alone it changes {flips:.2f} pt of the answers"
                skips.append(Skip(where=name, reason=reason))
        enabled -= {skip.where for skip in skips}
        (whole,) = losses_of([enabled])
    noise = {name: _power(alone[name].sqnr_db) for name in names if name in enabled}
    allowed = _power(min_sqnr_db)
    for _ in range(_ATTEMPTS):
        if whole.sqnr_db >= min_sqnr_db:
            break
        ratio = _power(whole.sqnr_db) / max(sum(noise.values()), 1e-300)
        allowed *= _TIGHTER
        while noise and sum(noise.values()) * ratio > allowed:
            worst = max(noise, key=noise.__getitem__)
            del noise[worst]
            reason = f"too noisy: {alone[worst].sqnr_db:.1f} dB at the outputs by itself"
            skips.append(Skip(where=worst, reason=reason))
        enabled = frozenset(noise)
        (whole,) = losses_of([enabled])
    if whole.sqnr_db < min_sqnr_db:
        skips.extend(
            Skip(where=name, reason=f"no set of units keeps {min_sqnr_db:g} dB") for name in noise
        )
        enabled = frozenset()
        (whole,) = losses_of([enabled])
    return Trimmed(enabled=enabled, loss=whole, skips=tuple(skips), alone=alone)


def _power(sqnr_db: float) -> float:
    return float(10 ** (-sqnr_db / 10))
