"""What makes int8 cost less accuracy: channels scaled before planning, layers fitted after it.

Everything is tried on samples and judged by others; what does not bring the outputs nearer to the
float model's is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit import graph, native
from edgekit.dataset import Dataset, spread
from edgekit.graph import Model
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization.emission import emit
from edgekit.quantization.equalization import equalized
from edgekit.quantization.extremes import Extremes, watching
from edgekit.quantization.homogeneity import scalables
from edgekit.quantization.loss import Loss, relative_difference
from edgekit.quantization.placement import Units, eligible_units
from edgekit.quantization.plan import QuantizationPlan
from edgekit.quantization.ranges import Method
from edgekit.quantization.scaling import Scalable, scaled
from edgekit.quantization.sequence import SAMPLES, fitted
from edgekit.quantization.smoothing import smoothed

if TYPE_CHECKING:
    from edgekit.passes.quantizing import Quantizing

Factors = Sequence[tuple[Scalable, npt.NDArray[np.float64]]]

_LOOKED_AT = 128
_EXACT = 1e-4
_WORTH_DB = 0.1
_SPREAD = 1.05
_FIT_MACS = 2e10
_FEWEST = 48


class Improving:
    """The techniques, in the order in which they are applied.

    Attributes:
        techniques: what was tried, see `Quantize.apply`.
    """

    def __init__(self, work: Quantizing) -> None:
        """Take in the work to improve; nothing of it is measured yet."""
        self.techniques: dict[str, dict[str, Any]] = {}
        self._work = work
        self._fits: tuple[tuple[str, int | None], ...] = (
            ("rounding", work.asked.weight_bits),
            ("bias correction", None),
        )

    def scaled(self, model: Model) -> Model:
        """Return the float model with its channels scaled where that pays."""
        work = self._work
        found, _ = scalables(infer_shapes(model).ir.graph)
        if not found:
            return model
        data = spread(work.judges.rest, _LOOKED_AT)
        work.context.progress("scaling channels", 0, 0)
        loss: Loss | None = None
        for name in ("cross-layer equalization", "smoothquant"):
            if name == "smoothquant":
                factors = self._smoothing(model, found, data)
            else:
                every = equalized(model.ir.graph, found)
                factors = [pair for pair in zip(found, every, strict=True) if _spread(pair[1])]
            if not factors:
                continue
            loss = self._loss_of(model, data) if loss is None else loss
            tried = scaled(model, factors)
            with_it = self._loss_of(tried, data)
            exact = self._equals(tried)
            kept = exact and with_it.sqnr_db > loss.sqnr_db + _WORTH_DB
            self._note(name, len(factors), loss, with_it, kept=kept)
            if not exact:
                self.techniques[name]["reason"] = "the float outputs change by more than 1e-4"
            if kept:
                model, loss = tried, with_it
        return model

    def fit(self, units: Units) -> bool:
        """Fit the layers of the plan to what the float model makes; say whether that helped.

        What helped most the first time is what is tried the next.
        """
        work = self._work
        chosen = [unit for unit in work.plan.units if unit.name in units]
        samples = int(np.clip(_FIT_MACS / max(work.plan.macs_of(units), 1), _FEWEST, SAMPLES))
        (loss,) = work.losses([units])
        plain = replace(work.plan, fits={})
        fit = partial(
            fitted,
            work.model,
            emit(work.model, plain, work.context.target, units),
            chosen,
            work.judges.rest,
            work.folder,
            samples=samples,
            progress=partial(work.context.progress, "fitting layers"),
        )
        before = work.plan
        tried: list[tuple[str, QuantizationPlan, Loss]] = []
        for name, bits in self._fits:
            fits = fit(bits=bits)
            if fits:
                work.replan(replace(plain, fits=fits))
                tried.append((name, work.plan, work.losses([units])[0]))
        work.replan(before)
        if not tried:
            return False
        best = max(tried, key=lambda one: one[2].sqnr_db)
        kept = best[2].sqnr_db > loss.sqnr_db + _WORTH_DB
        for name, plan, with_it in tried:
            count = _counted(plan, name)
            chosen_it = kept and plan is best[1] and count > 0
            self._note(name, count, loss, with_it, kept=chosen_it)
        if kept:
            biases = _counted(best[1], "bias correction")
            self._note("bias correction", biases, loss, best[2], kept=biases > 0)
            work.replan(best[1])
            self._fits = tuple(one for one in self._fits if one[0] == best[0])
        return kept

    def _smoothing(self, model: Model, found: Sequence[Scalable], data: Dataset) -> Factors:
        work = self._work
        shaped = infer_shapes(model)
        axes = {end.reads: one.tensors[end.reads] for one in found for end in one.readers}
        seen = work.streamed(*_arguments(watching(shaped, axes), data), Extremes())
        nodes = {node.outputs[0].name or "": node for node in model.ir.graph if node.outputs}
        smooth = partial(
            smoothed,
            nodes,
            seen=seen,
            bits=work.asked.weight_bits,
            symmetric=work.context.target.quantized.symmetric_activations,
        )
        pairs = ((one, smooth(one)) for one in found)
        return [(one, scales) for one, scales in pairs if scales is not None]

    def _loss_of(self, model: Model, data: Dataset) -> Loss:
        """Return the loss with every unit in int8, calibrated with a few samples."""
        work = self._work
        seen, target = work.calibrated(model, data), work.context.target
        methods: tuple[Method, ...] = (work.asked.method,)
        if methods == ("auto",):
            methods = ("auto", "min-max")
        plans = work.planned(model, seen, methods)
        units = frozenset(unit.name for unit in eligible_units(plans[methods[0]], target))
        losses = work.answers.losses([emit(model, plans[one], target, units) for one in methods])
        return max(losses, key=lambda loss: loss.sqnr_db)

    def _equals(self, model: Model) -> bool:
        """Say whether the float model's outputs are still the same on samples."""
        work = self._work
        file = work.folder / "scaled.onnx"
        graph.save(model, file)
        difference = native.call(
            "comparing outputs",
            relative_difference,
            work.float_file,
            file,
            work.judges.samples,
            memory_bytes=work.memory_bytes,
        )
        return difference <= _EXACT

    def _note(self, name: str, units: int, loss: Loss, with_it: Loss, *, kept: bool) -> None:
        self.techniques[name] = {
            "kept": kept,
            "units": units if kept else 0,
            "sqnr_db": [_decibels(loss), _decibels(with_it)],
        }


def _counted(plan: QuantizationPlan, technique: str) -> int:
    """Return how many layers were fitted by it."""
    fits = plan.fits.values()
    if technique == "rounding":
        return sum(fit.weight is not None for fit in fits)
    return sum(fit.bias is not None for fit in fits)


def _decibels(loss: Loss) -> float | None:
    return round(loss.sqnr_db, 2) if np.isfinite(loss.sqnr_db) else None


def _spread(scales: npt.NDArray[np.float64]) -> bool:
    return bool(scales.max() > _SPREAD * scales.min())


def _arguments(observed: tuple[Model, Sequence[str]], data: Dataset) -> tuple[Model, Dataset, Any]:
    model, names = observed
    return model, data, names
