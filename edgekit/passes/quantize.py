"""The pass that makes a graph int8 where int8 pays."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from edgekit.candidate import Skip
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.passes.contract import Context, Outcome
from edgekit.passes.explaining import EXPLAINED, explained
from edgekit.passes.quantizing import Found, Quantizing
from edgekit.quantization.emission import quantized_tensors
from edgekit.quantization.kernels import int8_share
from edgekit.quantization.ranges import METHODS, Method
from edgekit.quantization.widening import widened

Placement = Literal["measured", "all"]
_PLACEMENTS: tuple[Placement, ...] = ("measured", "all")
_WEIGHT_BITS = (8, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize:
    """Static int8: prepare, calibrate, plan, fit, keep the outputs, place by measuring.

    Channels are scaled where that makes ranges narrower and leaves the float outputs as they are
    (cross-layer equalization, SmoothQuant); ranges are chosen from calibration; integers and
    biases are fitted layer by layer to what the float model makes. Each of these stays only if
    the outputs of samples held out of it are nearer to the float model's.

    Attributes:
        method: how ranges are chosen: `auto` (per tensor, by least error), `min-max`,
            `percentile`, `entropy` or `mse`.
        min_sqnr_db: least signal to quantization noise of the outputs on calibration samples;
            the noisiest units stay float until it holds.
        max_unit_drop_pt: a unit that alone would change more of the answers than this, in
            percentage points, stays float; 0 for no such limit.
        placement: `measured`: int8 where it is faster on the device (or by the target's facts
            where there is none); `all`: everything that the target has int8 kernels for, for a
            device that is not here.
        weight_bits: 8 or 4; 4 halves the weights in the file and leaves the kernels int8.
        explain: measure what each unit alone loses and find out why; see `passes.explaining`.
    """

    method: Method = "auto"
    min_sqnr_db: float = 25.0
    max_unit_drop_pt: float = 0.0
    placement: Placement = "measured"
    weight_bits: int = 8
    explain: bool = True

    name: ClassVar[str] = "quantize"
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        checks: tuple[tuple[str, tuple[object, ...], str], ...] = (
            ("method", METHODS, "unknown calibration method"),
            ("placement", _PLACEMENTS, "unknown placement"),
            ("weight_bits", _WEIGHT_BITS, "weights cannot have so many bits"),
        )
        for field, known, what in checks:
            value = getattr(self, field)
            if value not in known:
                raise UsageError(
                    what,
                    where=f"quantize.{field}",
                    found=repr(value),
                    expected=f"one of {', '.join(map(str, known))}",
                )

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the quantized model, or the input itself when no int8 form of it is faster.

        Facts: methods of the ranges, units quantized, their share of the multiply-adds, what
        decided the placement, the variants tried, the loss at the outputs. `accuracy techniques`
        holds for each of `cross-layer equalization`, `smoothquant`, `rounding` and
        `bias correction` that was tried: whether it was `kept`, the number of `units` (tensors
        scaled, or layers fitted), and `sqnr_db` of the outputs [without, with].

        Raises:
            CalibrationError: no data, or activations that are not finite.
            ModelError: the opset is too old, or the runtime fails.
        """
        if "int8" not in context.target.formats:
            skip = Skip(where="graph", reason=f"{context.target.name} has no fast int8")
            return Outcome(model=model, changed=False, skipped=(skip,))
        with tempfile.TemporaryDirectory(dir=context.workspace) as folder:
            wide = widened(model)
            work = Quantizing(self, wide, context, Path(folder))
            found = work.found()
            if isinstance(found, Skip):
                skipped = (found, *work.skipped)
                facts = {EXPLAINED: explained(work, wide, None, skipped)} if self.explain else {}
                return Outcome(model=model, changed=False, skipped=skipped, facts=facts)
            return self._outcome(work, found, wide)

    def _outcome(self, work: Quantizing, found: Found, model: Model) -> Outcome:
        plan, kept = found.plan, found.kept
        chosen = [unit for unit in plan.units if unit.name in kept.enabled]
        known = {skip.where for skip in kept.skips}
        placed = {
            "measured": "measured slower in int8",
            "target facts": "slow in int8 by the target's facts",
            "all": "the target has no int8 kernel for it",
        }[found.placement]
        rest = tuple(
            Skip(where=unit.name, reason=f"{unit.kind}: {placed}")
            for unit in plan.units
            if unit.name not in kept.enabled and unit.name not in known
        )
        tensors, _ = quantized_tensors(plan, work.context.target, kept.enabled)
        facts: dict[str, Any] = {
            "range methods": dict(Counter(plan.ranges[name].method for name in tensors)),
            "calibration samples": found.samples,
            "quantized units": len(chosen),
            "units": len(plan.units),
            "quantized kinds": dict(Counter(unit.kind for unit in chosen)),
            "weight bits": plan.weight_bits,
            "accuracy techniques": found.techniques,
            "share of multiply-adds in int8": work.share_of(kept.enabled),
            "placement": found.placement,
            "variants tried": found.tried,
            "sqnr_db on calibration samples": finite(kept.loss.sqnr_db),
            "expected changed answers, pt": rounded(kept.loss.flips_pt),
        }
        if found.form.matrices:
            narrow = {"bits": found.form.bits, "matrices": found.form.matrices}
            facts["integer weights alone"] = narrow
        if found.placement == "measured":
            share = int8_share(work.operators(found.model), chosen)
            facts["share of quantized units that are int8 kernels"] = share
        skipped = (*work.skipped, *kept.skips, *rest)
        if self.explain:
            facts[EXPLAINED] = explained(work, model, found, skipped)
        return Outcome(model=found.model, changed=True, skipped=skipped, facts=facts)


def rounded(value: float | None) -> float | None:
    """Return a share of answers to a thousandth of a point: more digits mean nothing."""
    return None if value is None else round(value, 3)


def finite(value: float) -> float | None:
    """Return `value`, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None
