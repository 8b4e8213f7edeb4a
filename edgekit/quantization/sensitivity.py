"""Which units must stay float so that the outputs stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgekit.candidate import Skip
from edgekit.quantization.knapsack import most_saved
from edgekit.quantization.loss import Loss
from edgekit.quantization.plan import Unit

LossesOf = Callable[[Sequence[frozenset[str]]], list[Loss]]
"""The loss of each set of quantized units."""

GainsOf = Callable[[frozenset[str], Sequence[str]], Mapping[str, float]]
"""Given the quantized units, what each of the others named saves as one of them, in seconds;
negative where it costs. Empty where that cannot be measured."""

PRICED = 24
"""How many units are measured: those with the most noise."""
_ATTEMPTS = 6
_TIGHTER = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """Units that may be quantized together, and what was taken out for it.

    Attributes:
        alone: the loss of each unit quantized alone; empty where nothing had to be taken out.
        gains_s: what a unit saves in int8, in seconds, of those that were measured.
    """

    enabled: frozenset[str]
    loss: Loss
    skips: tuple[Skip, ...] = ()
    alone: dict[str, Loss] | None = None
    gains_s: Mapping[str, float] = field(default_factory=dict)


def trimmed(
    units: Sequence[Unit],
    enabled: frozenset[str],
    losses_of: LossesOf,
    *,
    min_sqnr_db: float,
    max_unit_drop_pt: float | None = None,
    gains_of: GainsOf | None = None,
) -> Trimmed:
    """Take out units until the outputs keep `min_sqnr_db`, those that save the least for it.

    The noise of units adds up nearly as powers do, so the units' own losses foretell which set
    keeps the limit; of those sets the one that saves the most time is taken, or, where time is
    unknown, the noisiest units go first. What is foretold is then measured.

    Args:
        units: of the plan.
        enabled: where to start; names of units.
        losses_of: measures on calibration samples.
        min_sqnr_db: least signal to noise of the worst output.
        max_unit_drop_pt: a unit that alone is expected to change more answers than this, in
            percentage points, goes; None for no such limit.
        gains_of: measures what units save; None where nothing can be measured.
    """
    (whole,) = losses_of([enabled])
    if whole.sqnr_db >= min_sqnr_db and max_unit_drop_pt is None:
        return Trimmed(enabled=enabled, loss=whole)
    names = [unit.name for unit in units if unit.name in enabled]
    alone = dict(zip(names, losses_of([frozenset((name,)) for name in names]), strict=True))
    skips = _over(alone, max_unit_drop_pt)
    if max_unit_drop_pt is not None:
        enabled -= {skip.where for skip in skips}
        (whole,) = losses_of([enabled])
    noise = {name: _power(alone[name].sqnr_db) for name in names if name in enabled}
    gains: Mapping[str, float] = {}
    if whole.sqnr_db < min_sqnr_db and gains_of is not None:
        noisiest = sorted(noise, key=noise.__getitem__, reverse=True)[:PRICED]
        gains = gains_of(enabled, noisiest)
    allowed = _power(min_sqnr_db)
    for _ in range(_ATTEMPTS):
        if whole.sqnr_db >= min_sqnr_db:
            break
        ratio = _power(whole.sqnr_db) / max(sum(noise.values()), 1e-300)
        allowed *= _TIGHTER
        kept = _kept(noise, gains, allowed / ratio)
        for name in sorted(noise.keys() - kept, key=noise.__getitem__, reverse=True):
            reason = f"too noisy: {alone[name].sqnr_db:.1f} dB at the outputs by itself"
            if name in gains:
                reason += f", for {gains[name] * 1e6:.1f} us that int8 saves"
            skips.append(Skip(where=name, reason=reason))
        noise = {name: noise[name] for name in noise if name in kept}
        enabled = kept
        (whole,) = losses_of([enabled])
    if whole.sqnr_db < min_sqnr_db:
        skips.extend(
            Skip(where=name, reason=f"no set of units keeps {min_sqnr_db:g} dB") for name in noise
        )
        enabled = frozenset()
        (whole,) = losses_of([enabled])
    return Trimmed(
        enabled=enabled, loss=whole, skips=tuple(skips), alone=alone, gains_s=dict(gains)
    )


def _over(alone: Mapping[str, Loss], max_unit_drop_pt: float | None) -> list[Skip]:
    """Return the units that alone change more answers than is allowed."""
    if max_unit_drop_pt is None:
        return []
    return [
        Skip(where=name, reason=f"alone it changes {loss.flips_pt:.2f} pt of the answers")
        for name, loss in alone.items()
        if loss.flips_pt is not None and loss.flips_pt > max_unit_drop_pt
    ]


def _kept(noise: Mapping[str, float], gains: Mapping[str, float], limit: float) -> frozenset[str]:
    """Return units whose noise sums to at most `limit`; those without a gain are the quieter ones.

    Of those the quietest stay while there is room; in the rest of the room the gain is largest.
    """
    unpriced = sorted((name for name in noise if name not in gains), key=noise.__getitem__)
    quiet: set[str] = set()
    for name in unpriced:
        if noise[name] > limit:
            break
        quiet.add(name)
        limit -= noise[name]
    priced = {name: gains[name] for name in noise if name in gains}
    return frozenset(quiet) | most_saved(priced, noise, limit)


def _power(sqnr_db: float) -> float:
    return float(10 ** (-sqnr_db / 10))
