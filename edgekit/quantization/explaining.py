"""Which units lose what in int8, why, and what was done about it: from figures alone, pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.quantization.evidence import Cause
from edgekit.quantization.loss import Loss
from edgekit.quantization.plan import Kind, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One unit: what it costs, why, and what was done about it.

    Attributes:
        unit: its name.
        loss_db: signal to noise of the model's outputs when this unit alone is in plain int8
            (min-max ranges, nothing else done); None when it costs nothing measurable.
        now_db: the same in the form that was chosen; None when that was not measured.
        flips_pt: share of answers that plain int8 is expected to change, in percentage points.
        quantized: it is in int8 in the result.
        remedy: what was done about it.
        gain_s: time that int8 saves here, in seconds, negative when it costs; None unmeasured.
    """

    unit: str
    kind: Kind
    loss_db: float | None
    now_db: float | None
    flips_pt: float | None
    quantized: bool
    cause: Cause
    remedy: str
    gain_s: float | None = None


def explanations(
    causes: Mapping[str, Cause],
    units: Sequence[Unit],
    plain: Mapping[str, Loss],
    *,
    now: Mapping[str, Loss],
    quantized: frozenset[str],
    remedies: Mapping[str, str],
    gains_s: Mapping[str, float],
) -> tuple[Explanation, ...]:
    """Return what is known of each unit, those that cost most first.

    Units that suffer from the same tensor or weight stand together, the one that makes it first:
    the cause lies there, wherever the noise comes out.

    Args:
        causes: by unit.
        units: of the plan.
        plain: loss of each unit alone in plain int8; units without one are left out.
        now: loss of each unit alone in the chosen form.
        quantized: names of the units in int8.
        remedies: what was done about a unit.
        gains_s: what int8 saves at a unit, where it was measured.
    """
    named = {unit.name: unit for unit in units if unit.name in plain and unit.name in causes}
    told = {name: causes[name] for name in named}
    worst: dict[str, str] = {}
    for name in sorted(named, key=lambda name: plain[name].sqnr_db):
        worst.setdefault(causes[name].culprit or name, name)
    for culprit, victim in worst.items():
        if culprit in told and told[culprit].culprit != culprit and victim != culprit:
            told[culprit] = replace(causes[victim], why=f"{causes[victim].why}; {victim} reads it")

    def rank(name: str) -> tuple[float, bool, float]:
        culprit = told[name].culprit or name
        victim = worst.get(culprit, name)
        return plain[victim].sqnr_db, name != culprit, plain[name].sqnr_db

    return tuple(
        Explanation(
            unit=name,
            kind=named[name].kind,
            loss_db=_finite(plain[name].sqnr_db),
            now_db=_finite(now[name].sqnr_db) if name in now else None,
            flips_pt=plain[name].flips_pt,
            quantized=name in quantized,
            cause=told[name],
            remedy=remedies.get(name, ""),
            gain_s=gains_s.get(name),
        )
        for name in sorted(named, key=rank)
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
