"""Measures what each unit of a float model would lose in plain int8, and finds out why.

Plain means: ranges from minimum to maximum, weights to the nearest integer, nothing else done. It
is measured on a few samples that the caller keeps, so time and memory do not grow with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgekit import native
from edgekit.activations import Array, stream
from edgekit.dataset import Sample
from edgekit.graph import Model, file_size, save
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization.calibration import Calibration
from edgekit.quantization.causes import cause_of, relative_noise
from edgekit.quantization.emission import emit, quantized_tensors
from edgekit.quantization.evidence import Cause, ChannelStatistics, Doubles, Evidence, Seen
from edgekit.quantization.grid import grid_of, quantized_weight
from edgekit.quantization.histogram import Histogram
from edgekit.quantization.loss import Loss, losses_of
from edgekit.quantization.observation import step_of
from edgekit.quantization.plan import CONVOLUTIONS, WEIGHTED, QuantizationPlan, Unit
from edgekit.quantization.planning import plan_of
from edgekit.quantization.units import units_of, weight_of
from edgekit.quantization.writers import Writers
from edgekit.target import Target

MOST_UNITS = 64
"""How many units are measured: those whose own noise is largest."""

_SAMPLES = 8
_CHUNK = 8
_START_S, _SAMPLE_S = 120.0, 10.0
_MEMORY_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What plain int8 does to a model.

    Attributes:
        units: all that could be quantized, in topological order.
        causes: by unit, of those that were measured.
        losses: by unit, each alone in int8.
    """

    units: tuple[Unit, ...]
    causes: Mapping[str, Cause]
    losses: Mapping[str, Loss]


@dataclass(slots=True, kw_only=True)
class Watched:
    """A reducer that keeps a histogram and the channels' peaks and powers of each tensor.

    Attributes:
        axes: of the channels, by tensor.
    """

    axes: dict[str, int]
    histograms: dict[str, Histogram] = field(default_factory=dict)
    peaks: dict[str, Doubles] = field(default_factory=dict)
    squares: dict[str, Doubles] = field(default_factory=dict)
    samples: int = 0

    def begin(self, _sample: Sample) -> None:
        """Count a sample."""
        self.samples += 1

    def add(self, name: str, values: Array) -> None:
        """Take a whole tensor of one sample; others than floats are left out."""
        if values.dtype != np.float32 or not values.size:
            return
        histogram = self.histograms.setdefault(name, Histogram.empty())
        histogram.low = min(histogram.low, float(values.min()))
        histogram.high = max(histogram.high, float(values.max()))
        histogram.size = max(histogram.size, values.size)
        histogram.count(values.reshape(-1)[:: step_of(values.shape)].astype(np.float32, copy=False))
        axis = self.axes[name] % values.ndim
        others = tuple(i for i in range(values.ndim) if i != axis)
        peaks = np.abs(values).max(axis=others).astype(np.float64)
        squares = np.square(values, dtype=np.float64).mean(axis=others)
        if name in self.peaks and self.peaks[name].shape == peaks.shape:
            peaks = np.maximum(self.peaks[name], peaks)
            squares = self.squares[name] + squares
        self.peaks[name], self.squares[name] = peaks, squares

    def channels(self, name: str) -> ChannelStatistics:
        """Return what was seen of a tensor's channels."""
        return ChannelStatistics(peak=self.peaks[name], power=self.squares[name] / self.samples)


@dataclass(frozen=True, slots=True)
class _Few:
    """Samples at hand as a dataset."""

    rows: tuple[Sample, ...]
    source: str = "samples kept by calibration"

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self) -> Iterator[Sample]:
        yield from self.rows


def diagnosed(
    model: Model,
    target: Target,
    samples: Sequence[Sample],
    workspace: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Diagnosis:
    """Return what each unit of `model` would lose in plain int8 on `target`, and why.

    Args:
        model: float, as it was before anything was done to prepare it for int8.
        target: whose form of int8.
        samples: at least one; the losses are measured on the first few.
        workspace: for temporary files, which are removed.
        progress: called with (units measured, in all).

    Raises:
        ModelError: the model does not run on the samples.
    """
    seen_model = infer_shapes(model)
    axes = _axes(seen_model.ir.graph)
    if not axes:
        return Diagnosis(units=(), causes={}, losses={})
    file = workspace / "diagnosed.onnx"
    save(model, file)
    memory_bytes = _MEMORY_BYTES + 4 * file_size(file)
    watched: Watched = native.call(
        "looking at activations",
        stream,
        file,
        _Few(tuple(samples)),
        list(axes),
        Watched(axes=axes),
        timeout_s=_START_S + _SAMPLE_S * len(samples),
        memory_bytes=memory_bytes,
    )
    plan = plan_of(
        seen_model.ir.graph,
        Calibration(histograms=watched.histograms, samples=watched.samples),
        method="min-max",
        symmetric=target.quantized.symmetric_activations,
    )
    writers = Writers(seen_model, plan, watched.histograms)
    found = {unit.name: _evidence(unit, plan, watched, writers, target) for unit in plan.units}
    noisiest = sorted(found, key=lambda name: -relative_noise(found[name]))[:MOST_UNITS]
    losses: dict[str, Loss] = {}
    files = [workspace / f"diagnosed-{index}.onnx" for index in range(_CHUNK)]
    for at in range(0, len(noisiest), _CHUNK):
        part = noisiest[at : at + _CHUNK]
        for name, variant in zip(part, files, strict=False):
            save(emit(model, plan, target, frozenset((name,))), variant)
        measured = native.call(
            "measuring each unit alone",
            losses_of,
            file,
            files[: len(part)],
            list(samples[:_SAMPLES]),
            timeout_s=_START_S + _SAMPLE_S * _SAMPLES * (len(part) + 1),
            memory_bytes=memory_bytes,
        )
        for name, (sqnr_db, flips_pt) in zip(part, measured, strict=True):
            losses[name] = Loss(sqnr_db=sqnr_db, flips_pt=flips_pt)
        progress(at + len(part), len(noisiest))
    for written in (file, *files):
        written.unlink(missing_ok=True)
    return Diagnosis(
        units=plan.units,
        causes={name: cause_of(found[name]) for name in noisiest},
        losses=losses,
    )


def _axes(graph: ir.Graph) -> dict[str, int]:
    """Return the channel axis of every tensor that may get a grid."""
    units, _ = units_of(graph)
    found: dict[str, int] = {}
    for unit in units:
        for name in unit.tensors:
            axis = 1 if unit.kind in CONVOLUTIONS or unit.kind == "pool" else -1
            if unit.kind in WEIGHTED or name not in found:
                found[name] = axis
    ranks = {value.name: value.shape for node in graph for value in node.outputs}
    for name, axis in found.items():
        shape = ranks.get(name)
        if axis == -1 and shape is not None and len(shape) == 4:  # noqa: PLR2004  # an image
            found[name] = 1
    return found


def _evidence(
    unit: Unit, plan: QuantizationPlan, watched: Watched, writers: Writers, target: Target
) -> Evidence:
    form = target.quantized
    tensors, _ = quantized_tensors(plan, target, frozenset((unit.name,)))

    def seen(name: str) -> Seen:
        return Seen(
            name=name,
            writer=writers.of(name),
            span=plan.ranges[name],
            histogram=watched.histograms[name],
            channels=watched.channels(name),
            symmetric=form.symmetric_activations,
        )

    node = writers.nodes[unit.node]
    weight = integers = None
    if unit.kind in WEIGHTED:
        weight = np.asarray(weight_of(node, unit), np.float32)
        integers = quantized_weight(
            weight,
            unit.weight_axis or 0,
            per_channel=form.per_channel_weights,
            input_scale=grid_of(plan.ranges[unit.inputs[0]], form).scale,
        )
    return Evidence(
        unit=unit,
        inputs=tuple(seen(name) for name in unit.inputs),
        output=seen(unit.output) if unit.output in tensors else None,
        power=seen(unit.output).power,
        weight=weight,
        integers=integers,
        alone=not writers.neighbours(unit),
    )
