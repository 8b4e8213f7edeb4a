"""What the pass quantize says of each unit: its loss, why, what was done, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.quantization.diagnosis import Diagnosis, diagnosed
from edgekit.quantization.explaining import Explanation, explanations
from edgekit.quantization.loss import Loss
from edgekit.quantization.placement import Units, eligible_units
from edgekit.quantization.plan import WEIGHTED
from edgekit.quantization.units import weight_of

if TYPE_CHECKING:
    from edgekit.passes.quantizing import Found, Quantizing

EXPLAINED = "explained"
"""Name of the fact."""

_SAMPLES = 8
_CHUNK = 8
_PRICED = 8
_PRICED_IN_FLOAT = 24
_DIGITS = 3


def explained(
    work: Quantizing, original: Model, outcome: Found | None, skips: Sequence[Skip]
) -> dict[str, dict[str, Any]]:
    """Return the explanation of each unit as JSON values, the one that costs most first.

    Args:
        work: with its final plan.
        original: the float model before its channels were scaled.
        outcome: what came of it; None when all stays in float. Where its placement was measured,
            the few units that matter most get a price.
        skips: why units stay in float; a first one about the whole graph is all units' reason.
    """
    context = work.context
    units: Units = frozenset() if outcome is None else outcome.kept.enabled
    measured = outcome is not None and outcome.placement == "measured"
    context.progress("explaining the loss", 0, 0)
    found = diagnosed(
        original,
        context.target,
        work.judges.samples,
        work.folder,
        progress=lambda done, total: context.progress("explaining the loss", done, total),
    )
    reasons = {skip.where: skip.reason for skip in skips}
    if outcome is None and skips:
        reasons = {unit.name: skips[0].reason for unit in found.units} | reasons
    names = [name for name in found.losses if name in units]
    now: dict[str, Loss] = {}
    for at in range(0, len(names), _CHUNK):
        part = names[at : at + _CHUNK]
        models = [work.emitted(frozenset((name,))) for name in part]
        now.update(zip(part, work.answers.losses(models, _SAMPLES), strict=True))
    told = explanations(
        found.causes,
        found.units,
        found.losses,
        now=now,
        quantized=units,
        remedies=_remedies(work, original, found, units, reasons),
        gains_s=_gains_s(work, found, units) if measured else {},
    )
    return {one.unit: _json(one) for one in told}


def _remedies(
    work: Quantizing, original: Model, found: Diagnosis, units: Units, reasons: dict[str, str]
) -> dict[str, str]:
    """Return what was done about each unit."""
    before = {node.outputs[0].name: node for node in original.ir.graph if node.outputs}
    after = {node.outputs[0].name: node for node in work.model.ir.graph if node.outputs}
    remedies = {}
    for unit in found.units:
        if unit.name not in units:
            reason = reasons.get(unit.name, "")
            remedies[unit.name] = "left in float" + (f": {reason}" if reason else "")
            continue
        done = []
        if unit.kind in WEIGHTED and unit.node in after:
            old, new = (weight_of(nodes[unit.node], unit) for nodes in (before, after))
            if not np.array_equal(old, new):
                done.append("channels scaled")
            fit = work.plan.fits.get(unit.name)
            if fit is not None and fit.weight is not None:
                done.append("weight fitted")
            if fit is not None and fit.bias is not None:
                done.append("bias corrected")
        methods = {
            work.plan.ranges[name].method for name in unit.inputs if name in work.plan.ranges
        }
        if methods - {"min-max", "constant"}:
            done.append(f"range by {', '.join(sorted(methods - {'min-max', 'constant'}))}")
        remedies[unit.name] = ", ".join(done)
    return remedies


def _gains_s(work: Quantizing, found: Diagnosis, units: Units) -> dict[str, float]:
    """Return what int8 saves at the units that matter most, each measured in the whole graph."""
    possible = {unit.name for unit in eligible_units(work.plan, work.context.target)}
    order = sorted(found.losses.keys() & possible, key=lambda name: found.losses[name].sqnr_db)
    names = [name for name in order if name not in units][:_PRICED_IN_FLOAT]
    names += [name for name in order if name in units][:_PRICED]
    models = [work.emitted(units), *(work.emitted(units ^ {name}) for name in names)]
    latencies = work.context.latencies_of(models, "screen") if names else None
    if latencies is None:
        return {}
    base, *others = (interval.value for interval in latencies)
    return {
        name: other - base if name in units else base - other
        for name, other in zip(names, others, strict=True)
    }


def _json(one: Explanation) -> dict[str, Any]:
    cause = asdict(one.cause)
    return {
        "kind": one.kind,
        "loss_db": _rounded(one.loss_db),
        "now_db": _rounded(one.now_db),
        "changed_answers_pt": _rounded(one.flips_pt),
        "int8": one.quantized,
        "cause": cause["name"],
        "why": cause["why"],
        "made_by": cause["culprit"],
        "figures": {name: _rounded(value) for name, value in cause["figures"].items()},
        "remedy": one.remedy,
        "saves_us": None if one.gain_s is None else _rounded(one.gain_s * 1e6),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), _DIGITS)
