"""How the pass quantize gets from a float model to an int8 one that is worth having."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import graph, native
from edgekit.activations import R, stream
from edgekit.candidate import Skip
from edgekit.dataset import Dataset
from edgekit.errors import CalibrationError
from edgekit.graph import Model
from edgekit.graph.shapes import infer_shapes
from edgekit.measurement import Interval
from edgekit.passes.answers import SAMPLE_S, START_S, Answers
from edgekit.passes.contract import Context, Effort
from edgekit.passes.improving import Improving
from edgekit.passes.narrowing import Form, fastest_form
from edgekit.quantization.calibration import Calibration
from edgekit.quantization.emission import emit
from edgekit.quantization.judges import Judges
from edgekit.quantization.kernels import optimized_operators
from edgekit.quantization.loss import Loss
from edgekit.quantization.packing import holding, packed
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
from edgekit.quantization.planning import observer_of, plans_of
from edgekit.quantization.ranges import METHODS, Method
from edgekit.quantization.sensitivity import Trimmed, trimmed

if TYPE_CHECKING:
    from edgekit.passes.quantize import Quantize

_PROBED_MACS = 4e9
_FEWEST_PROBES = 8
_CHUNK = 8
_MEMORY_BYTES = 2 << 30
_NO_DATA = "give calibration data with --data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of it.

    Attributes:
        model: the int8 graph.
        form: the placement, and what has integer weights alone.
        kept: the units in int8, and what was taken out.
        samples: calibrated with.
        placement: what decided it: `measured`, `target facts` or `all`.
        tried: how many placements were measured.
        techniques: see `Quantize.apply`.
    """

    model: Model
    plan: QuantizationPlan
    form: Form
    kept: Trimmed
    samples: int
    placement: str
    tried: int
    techniques: dict[str, dict[str, Any]]


class Quantizing:
    """One application of the pass.

    Attributes:
        context: what may be used.
        folder: for temporary files.
        model: the float model; its channels may be scaled on the way.
        judges: samples that decide what is kept.
        answers: of the float model to them.
        calibration, plan: of `model`.
    """

    def __init__(self, asked: Quantize, model: Model, context: Context, folder: Path) -> None:
        """Take in what is asked for, what may be used, and an empty folder."""
        self.asked = asked
        self.context = context
        self.folder = folder
        self.model = model
        self.judges: Judges
        self.answers: Answers
        self.calibration: Calibration
        self.plan: QuantizationPlan
        self._losses: dict[Units, Loss] = {}

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """What has no int8 form, and why."""
        return self.plan.skips

    @property
    def data(self) -> Dataset:
        """The calibration data."""
        data = self.context.data
        if data is None:
            raise CalibrationError("no data to calibrate with", where="quantize", remedy=_NO_DATA)
        return data

    @property
    def float_file(self) -> Path:
        """The float model on disk."""
        return self.folder / "float.onnx"

    def found(self) -> Found | Skip:
        """Return the int8 form, or why there is none that is worth having."""
        graph.save(self.model, self.float_file)
        self.judges = Judges.of(self.data)
        self.answers = Answers(self.float_file, self.judges.samples, self.folder, self.memory_bytes)
        improving = Improving(self)
        bits, target = self.asked.weight_bits, self.context.target
        self.model = improving.scaled(holding(self.model, bits, target, self.context.shapes))
        self.calibration = self.calibrated(self.model, self.data)
        plans = self.planned(self.model, self.calibration, self.methods)
        self.replan(plans[self.asked.method])
        search = Search(measure=lambda sets: self._latencies(sets, "screen"))
        start, placement = self._start(search)
        if not start:
            return Skip(where="graph", reason="no operator in it has an int8 kernel")
        self._choose_ranges(list(plans.values()), start)
        improving.fit(start)
        kept = self._trimmed(start)
        if placement == "measured" and kept.enabled:
            kept = self._refined(search, kept)
        if kept.enabled and kept.enabled != start and improving.fit(kept.enabled):
            kept = replace(kept, loss=self.losses([kept.enabled])[0])
        form = Form(units=kept.enabled, model=self.emitted(kept.enabled))
        if placement == "measured":
            form = fastest_form(self, kept.enabled)
        if not (form.units or form.matrices):
            return self._refusal("no unit can be quantized within the limits", kept)
        if placement == "measured" and not self._pays(form.model):
            reason = f"no int8 form is faster than float here ({len(search.tried)} tried)"
            return self._refusal(reason, kept)
        if form.matrices:
            kept = replace(kept, enabled=form.units, loss=self.answers.losses([form.model])[0])
        return Found(
            model=packed(form.model, bits, target),
            plan=self.plan,
            form=form,
            kept=kept,
            samples=self.calibration.samples,
            placement=placement,
            tried=len(search.tried),
            techniques=improving.techniques,
        )

    def calibrated(self, model: Model, data: Dataset) -> Calibration:
        """Return what is seen of the tensors of a float model on data."""
        watching, names, empty = observer_of(infer_shapes(model))
        return self.streamed(watching, data, names, empty)

    def streamed(self, watching: Model, data: Dataset, names: Sequence[str], empty: R) -> R:
        """Return the reducer `empty` after all of `data` went through `watching`."""
        file = self.folder / "observed.onnx"
        graph.save(watching, file)
        seen: R = native.call(
            "calibrating",
            stream,
            file,
            data,
            names,
            empty,
            timeout_s=START_S + SAMPLE_S * len(data),
            memory_bytes=self.memory_bytes,
            progress=lambda done, total: self.context.progress("calibrating", done, total),
        )
        return seen

    @property
    def memory_bytes(self) -> int:
        """What a native call about this model may take."""
        return _MEMORY_BYTES + 4 * graph.file_size(self.float_file)

    @property
    def methods(self) -> tuple[Method, ...]:
        """How ranges may be chosen."""
        return METHODS if self.asked.method == "auto" else (self.asked.method,)

    def planned(
        self, model: Model, calibration: Calibration, methods: Sequence[Method]
    ) -> dict[Method, QuantizationPlan]:
        """Return the plan for a float model by each method."""
        self.context.progress("choosing ranges", 0, 0)
        plans = plans_of(
            model.ir.graph,
            calibration,
            methods,
            symmetric=self.context.target.quantized.symmetric_activations,
        )
        bits = self.asked.weight_bits
        return {method: replace(plan, weight_bits=bits) for method, plan in plans.items()}

    def replan(self, plan: QuantizationPlan) -> None:
        """Take another plan; what was measured of the last one is forgotten."""
        self.plan = plan
        self._losses.clear()

    def emitted(self, units: Units) -> Model:
        """Return the model with these units in int8."""
        return emit(self.model, self.plan, self.context.target, units) if units else self.model

    def losses(self, sets: Sequence[Units]) -> list[Loss]:
        """Return the loss of each set; what is known is not measured again."""
        first = len(self.judges.samples)
        if len(sets) > 1:
            macs = max(1, self.plan.macs_of(frozenset(unit.name for unit in self.plan.units)))
            first = max(_FEWEST_PROBES, int(_PROBED_MACS / macs))
        unknown = [units for units in dict.fromkeys(sets) if units not in self._losses]
        for at in range(0, len(unknown), _CHUNK):
            part = unknown[at : at + _CHUNK]
            self.context.progress("measuring what int8 costs", at, len(unknown))
            found = self.answers.losses([self.emitted(units) for units in part], first)
            self._losses.update(zip(part, found, strict=True))
        return [self._losses[units] for units in sets]

    def operators(self, model: Model) -> dict[str, int]:
        """Return how often each operator stands in what onnxruntime makes of the model."""
        file = self.folder / "result.onnx"
        graph.save(model, file)
        return native.call("optimizing", optimized_operators, file, memory_bytes=self.memory_bytes)

    def share_of(self, units: Units) -> float:
        """Return the share of the whole model's multiply-adds that these units do."""
        sample = self.judges.samples[0]
        shapes = {name: (1, *value.shape) for name, value in sample.items()}
        return min(1.0, self.plan.macs_of(units) / max(graph.costs(self.model, shapes).macs, 1))

    def _start(self, search: Search) -> tuple[Units, str]:
        """Return the units to begin with, and what decides the placement."""
        target = self.context.target
        starts = presets(self.plan, target)
        if not starts:
            return FLOAT, ""
        if self.asked.placement == "all":
            return frozenset(unit.name for unit in eligible_units(self.plan, target)), "all"
        start = search.fastest(starts)
        if start is None:
            return placement_by_facts(self.plan, target), "target facts"
        return start, "measured"

    def _choose_ranges(self, plans: Sequence[QuantizationPlan], units: Units) -> None:
        """Let the outputs decide: the least error of a tensor need not be theirs."""
        forms = [emit(self.model, plan, self.context.target, units) for plan in plans]
        losses = self.answers.losses(forms)
        best = max(range(len(plans)), key=lambda index: losses[index].sqnr_db)
        self.replan(plans[best])
        self._losses[units] = losses[best]

    def _trimmed(self, units: Units) -> Trimmed:
        return trimmed(
            self.plan.units,
            units,
            self.losses,
            min_sqnr_db=self.asked.min_sqnr_db,
            max_unit_drop_pt=self.asked.max_unit_drop_pt or None,
            gains_of=self._gains_s if self.asked.placement == "measured" else None,
        )

    def _gains_s(self, units: Units, names: Sequence[str]) -> dict[str, float]:
        """Return what each of the named units saves as one of `units`; nothing without a device."""
        found = self._latencies([units, *(units - {name} for name in names)], "screen")
        if found is None:
            return {}
        base, *others = (interval.value for interval in found)
        return {name: other - base for name, other in zip(names, others, strict=True)}

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

    def _pays(self, model: Model) -> bool:
        """Say whether the model is surely faster; a longer look settles what one leaves open."""
        efforts: tuple[Effort, ...] = ("decide", "settle")
        for effort in efforts:
            found = self.context.latencies_of([self.model, model], effort)
            if found is None:
                return False
            was, now = found
            if now.high < was.value or now.low > was.value:
                return now.high < was.value
        return False

    def _latencies(self, sets: Sequence[Units], effort: Effort) -> list[Interval] | None:
        self.context.progress("finding where int8 pays", 0, 0)
        return self.context.latencies_of([self.emitted(units) for units in sets], effort)

    def _refusal(self, reason: str, kept: Trimmed) -> Skip:
        self.plan = replace(self.plan, skips=(*self.plan.skips, *kept.skips))
        return Skip(where="graph", reason=reason)
