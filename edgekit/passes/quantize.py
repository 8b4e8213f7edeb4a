"""The pass that makes a graph int8 where int8 pays."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from edgekit import graph, native
from edgekit.activations import stream
from edgekit.candidate import Skip
from edgekit.errors import CalibrationError, UsageError
from edgekit.graph import Model
from edgekit.graph.shapes import infer_shapes
from edgekit.measurement import Interval
from edgekit.passes.contract import Context, Effort, Outcome
from edgekit.quantization.calibration import Calibration
from edgekit.quantization.emission import emit, quantized_tensors
from edgekit.quantization.kernels import int8_share, optimized_operators
from edgekit.quantization.loss import Loss, losses_of
from edgekit.quantization.placement import (
    FLOAT,
    Search,
    Units,
    eligible_units,
    placement_by_facts,
    presets,
    refined,
)
from edgekit.quantization.plan import QuantizationPlan
from edgekit.quantization.planning import observer_of, plan_of
from edgekit.quantization.ranges import METHODS, Method
from edgekit.quantization.sensitivity import Trimmed, trimmed

_PROBED_MACS = 4e9
_FEWEST_PROBES = 8
_START_S, _SAMPLE_S = 120.0, 10.0
_CHUNK = 8
_MEMORY_BYTES = 2 << 30
_NO_DATA = "give calibration data with --data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize:
    """Static int8: calibrate, plan, keep the outputs, place by measuring.

    Attributes:
        method: how ranges are chosen: `auto` (per tensor, by least error), `min-max`,
            `percentile`, `entropy` or `mse`.
        min_sqnr_db: least signal to quantization noise of the outputs on calibration samples;
            the noisiest units stay float until it holds.
        max_unit_drop_pt: a unit that alone would change more of the answers than this, in
            percentage points, stays float; 0 for no such limit.
    """

    method: Method = "auto"
    min_sqnr_db: float = 25.0
    max_unit_drop_pt: float = 0.0

    name: ClassVar[str] = "quantize"
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                "unknown calibration method",
                where="quantize.method",
                found=repr(self.method),
                expected=f"one of {', '.join(METHODS)}",
            )

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the quantized model, or the input itself when no int8 form of it is faster.

        Facts: methods of the ranges, units quantized, their share of the multiply-adds, what
        decided the placement, the variants tried, the loss at the outputs.

        Raises:
            CalibrationError: no data, or activations that are not finite.
            ModelError: the opset is too old, or the runtime fails.
        """
        if "int8" not in context.target.formats:
            skip = Skip(where="graph", reason=f"{context.target.name} has no fast int8")
            return Outcome(model=model, changed=False, skipped=(skip,))
        with tempfile.TemporaryDirectory(dir=context.workspace) as folder:
            work = _Work(model=model, context=context, folder=Path(folder), settings=self)
            return work.outcome()


@dataclass(slots=True, kw_only=True)
class _Work:
    model: Model
    context: Context
    folder: Path
    settings: Quantize
    calibration: Calibration = field(init=False)
    plan: QuantizationPlan = field(init=False)
    losses: dict[Units, Loss] = field(default_factory=dict)

    @property
    def float_file(self) -> Path:
        return self.folder / "float.onnx"

    def outcome(self) -> Outcome:
        graph.save(self.model, self.float_file)
        self.calibration = self._calibrated()
        self.plan = self._planned(self.settings.method)
        starts = presets(self.plan, self.context.target)
        if not starts:
            return self._unchanged("no operator in it has an int8 kernel", ())
        search = Search(measure=lambda sets: self._latencies(sets, "screen"))
        start = search.fastest(starts)
        measured = start is not None
        if start is None:
            start = placement_by_facts(self.plan, self.context.target)
        self._choose_ranges(start)
        kept = self._trimmed(start)
        if measured and kept.enabled:
            kept = self._refined(search, kept)
        if not kept.enabled:
            return self._unchanged("no unit can be quantized within the limits", kept.skips)
        if measured and not self._pays(kept.enabled):
            reason = f"no int8 form is faster than float here ({len(search.tried)} tried)"
            return self._unchanged(reason, kept.skips)
        return self._changed(kept, search, measured=measured)

    def _calibrated(self) -> Calibration:
        data = self.context.data
        if data is None:
            raise CalibrationError("no data to calibrate with", where="quantize", remedy=_NO_DATA)
        watching, names, empty = observer_of(infer_shapes(self.model))
        file = self.folder / "observed.onnx"
        graph.save(watching, file)
        seen: Calibration = native.call(
            "calibrating",
            stream,
            file,
            data,
            names,
            empty,
            timeout_s=_START_S + _SAMPLE_S * len(data),
            memory_bytes=self._memory_bytes(),
            progress=lambda done, total: self.context.progress("calibrating", done, total),
        )
        return seen

    def _memory_bytes(self) -> int:
        return _MEMORY_BYTES + 4 * graph.file_size(self.float_file)

    def _planned(self, method: Method) -> QuantizationPlan:
        self.context.progress("choosing ranges", 0, 0)
        return plan_of(
            self.model.ir.graph,
            self.calibration,
            method=method,
            symmetric=self.context.target.quantized.symmetric_activations,
        )

    def _choose_ranges(self, units: Units) -> None:
        """Let the outputs decide between the least error of each tensor and no clipping at all."""
        if self.settings.method != "auto":
            return
        (by_error,) = self._losses([units])
        chosen, self.plan = self.plan, self._planned("min-max")
        self.losses.clear()
        (whole,) = self._losses([units])
        if by_error.sqnr_db >= whole.sqnr_db:
            self.plan = chosen
            self.losses = {units: by_error}

    def _trimmed(self, units: Units) -> Trimmed:
        return trimmed(
            self.plan.units,
            units,
            self._losses,
            min_sqnr_db=self.settings.min_sqnr_db,
            max_unit_drop_pt=self.settings.max_unit_drop_pt or None,
        )

    def _refined(self, search: Search, kept: Trimmed) -> Trimmed:
        """Search around what the limits left, and hold the result to the same limits."""
        refused = {skip.where for skip in kept.skips}
        units = eligible_units(self.plan, self.context.target)
        found = refined(search, [u for u in units if u.name not in refused], kept.enabled)
        again = self._trimmed(found)
        best = search.fastest([kept.enabled, again.enabled])
        if best != again.enabled:
            return kept
        return replace(again, skips=tuple(dict.fromkeys((*kept.skips, *again.skips))))

    def _pays(self, units: Units) -> bool:
        found = self._latencies([FLOAT, units], "decide")
        if found is None:
            return False
        was, now = found
        return now.value < was.value and now.high < was.value

    def _model(self, units: Units) -> Model:
        return emit(self.model, self.plan, self.context.target, units) if units else self.model

    def _latencies(self, sets: Sequence[Units], effort: Effort) -> list[Interval] | None:
        self.context.progress("finding where int8 pays", 0, 0)
        return self.context.latencies_of([self._model(units) for units in sets], effort)

    def _losses(self, sets: Sequence[Units]) -> list[Loss]:
        """Return the loss of each set on the probes; what is known is not measured again."""
        samples = [probe.sample for probe in self.calibration.probes]
        if len(sets) > 1:
            macs = max(1, self.plan.macs_of(frozenset(unit.name for unit in self.plan.units)))
            samples = samples[: max(_FEWEST_PROBES, int(_PROBED_MACS / macs))]
        unknown = [units for units in dict.fromkeys(sets) if units not in self.losses]
        for at in range(0, len(unknown), _CHUNK):
            part = unknown[at : at + _CHUNK]
            files = [self.folder / f"variant-{index}.onnx" for index in range(len(part))]
            for units, file in zip(part, files, strict=True):
                graph.save(self._model(units), file)
            self.context.progress("measuring what int8 costs", at, len(unknown))
            found = native.call(
                "running quantized models",
                losses_of,
                self.float_file,
                files,
                samples,
                timeout_s=_START_S + _SAMPLE_S * len(samples) * (len(part) + 1),
                memory_bytes=self._memory_bytes(),
            )
            for units, (sqnr_db, flips_pt) in zip(part, found, strict=True):
                self.losses[units] = Loss(sqnr_db=sqnr_db, flips_pt=flips_pt)
        return [self.losses[units] for units in sets]

    def _operators(self, model: Model) -> dict[str, int]:
        file = self.folder / "result.onnx"
        graph.save(model, file)
        return native.call(
            "optimizing", optimized_operators, file, memory_bytes=self._memory_bytes()
        )

    def _share(self, units: Units) -> float:
        """Return the share of the whole model's multiply-adds that these units do."""
        sample = self.calibration.probes[0].sample
        shapes = {name: (1, *value.shape) for name, value in sample.items()}
        return min(1.0, self.plan.macs_of(units) / max(graph.costs(self.model, shapes).macs, 1))

    def _unchanged(self, reason: str, skips: tuple[Skip, ...]) -> Outcome:
        skipped = (Skip(where="graph", reason=reason), *self.plan.skips, *skips)
        return Outcome(model=self.model, changed=False, skipped=skipped)

    def _changed(self, kept: Trimmed, search: Search, *, measured: bool) -> Outcome:
        result = self._model(kept.enabled)
        chosen = [unit for unit in self.plan.units if unit.name in kept.enabled]
        known = {skip.where for skip in kept.skips}
        placed = "measured slower in int8" if measured else "slow in int8 by the target's facts"
        rest = tuple(
            Skip(where=unit.name, reason=f"{unit.kind}: {placed}")
            for unit in self.plan.units
            if unit.name not in kept.enabled and unit.name not in known
        )
        tensors, _ = quantized_tensors(self.plan, self.context.target, kept.enabled)
        facts: dict[str, Any] = {
            "range methods": dict(Counter(self.plan.ranges[name].method for name in tensors)),
            "calibration samples": self.calibration.samples,
            "quantized units": len(chosen),
            "units": len(self.plan.units),
            "quantized kinds": dict(Counter(unit.kind for unit in chosen)),
            "share of multiply-adds in int8": self._share(kept.enabled),
            "placement": "measured" if measured else "target facts",
            "variants tried": len(search.tried),
            "sqnr_db on calibration samples": finite(kept.loss.sqnr_db),
            "expected changed answers, pt": rounded(kept.loss.flips_pt),
            "loss of each unit alone, dB": {
                name: finite(loss.sqnr_db) for name, loss in (kept.alone or {}).items()
            },
        }
        if measured:
            share = int8_share(self._operators(result), chosen)
            facts["share of quantized units that are int8 kernels"] = share
        skipped = (*self.plan.skips, *kept.skips, *rest)
        return Outcome(model=result, changed=True, skipped=skipped, facts=facts)


def rounded(value: float | None) -> float | None:
    """Return a share of answers to a thousandth of a point: more digits mean nothing."""
    return None if value is None else round(value, 3)


def finite(value: float) -> float | None:
    """Return `value`, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None
