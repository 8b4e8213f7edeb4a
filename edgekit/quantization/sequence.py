"""Fits quantized layers one after another, each on what the layers before it really make.

The float model and its int8 form go through the samples side by side, one stretch of nodes at a
time (`edgekit.layerwise.stepwise`). Each layer reads what the int8 graph makes of the samples and
should write what the float one does, as far as the activation behind it lets that through
(`rows`). So its bias makes up for the mean error of its own rounding and of everything before it,
and its integers for the rest.

Sources: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.2 and appendix D (empirical bias correction); Finkelstein et al. 2019,
"Fighting Quantization Bias With Bias"; for the integers see `rounding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.graph import Model, file_size
from edgekit.layerwise.columns import read_at, reads, some_positions, written_at
from edgekit.layerwise.layers import Layer, layers_of
from edgekit.layerwise.responses import Response, response_to
from edgekit.layerwise.saving import saved
from edgekit.layerwise.stepwise import Stepwise, side_by_side
from edgekit.quantization.grid import QuantizedWeight
from edgekit.quantization.places import Place
from edgekit.quantization.plan import Fitted, Unit
from edgekit.quantization.rounding import rounded, scales_of, toward
from edgekit.quantization.rows import Rows

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

SAMPLES = 512
_TIMEOUT_S = 1800.0
_ROWS_A_COLUMN = 24
_FEWEST_A_COLUMN = 4
_PRODUCTS = 10**10
_LEAST_ROWS = 2048
_MOST_WORK = 2 * 10**11
_WORTH = 0.999
_AIMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A layer to fit.

    Attributes:
        unit: its name in the plan.
        layer: its form in the float graph.
        axis: of the weight's output channels.
        bits: of the weight's integers; None to leave them.
        has_bias: the bias may change.
    """

    unit: str
    layer: Layer
    axis: int
    bits: int | None
    has_bias: bool


def fitted(
    model: Model,
    quantized: Model,
    units: Sequence[Unit],
    data: Dataset,
    workspace: Path,
    *,
    bits: int | None,
    samples: int = SAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Fitted]:
    """Return by name of a unit what it was fitted to; those that nothing helps are left out.

    A layer takes the form with the least error on held-out samples, every fifth: as it is, with
    another bias, or with other integers and another bias.

    Args:
        model: the float one.
        quantized: `model` with `units` in int8; unchanged.
        units: of the plan, all in int8.
        data: at most `samples` samples of it, evenly spread, are used.
        workspace: for temporary files, up to a few times the activations of all samples.
        bits: of the integers; None to correct biases alone.
        samples: see `data`.
        progress: called with (layers done, in all).

    Raises:
        ModelError: one of the models does not run on the data.
    """
    tasks = _tasks(model, quantized, units, bits)
    if not tasks:
        return {}
    sizes = max(task.layer.groups * (task.layer.columns + 1) ** 2 for task in tasks)
    with saved(workspace, exact=model, int8=quantized) as files:
        found: dict[str, Fitted] = native.call(
            "fitting quantized layers",
            _fit_all,
            files,
            tasks,
            data,
            samples,
            timeout_s=_TIMEOUT_S,
            memory_bytes=(3 << 30) + 3 * sum(map(file_size, files)) + 120 * sizes,
            progress=progress,
        )
    return found


def _tasks(
    model: Model, quantized: Model, units: Sequence[Unit], bits: int | None
) -> tuple[Task, ...]:
    """Return the layers that can be fitted, in graph order."""
    layers = {layer.node: layer for layer in layers_of(model.ir.graph)}
    nodes = {node.outputs[0].name: node for node in model.ir.graph if node.outputs}
    forms = {node.name: node for node in quantized.ir.graph}
    found = []
    for unit in units:
        layer = layers.get(nodes[unit.node].name or "") if unit.weight is not None else None
        if layer is None or len(nodes[unit.node].inputs[1].uses()) > 1:  # type: ignore[union-attr]  # a layer has a weight
            continue
        place = Place.of(forms[layer.node])
        if place is None:
            continue
        work = layer.outputs * layer.columns**2
        found.append(
            Task(
                unit=unit.name,
                layer=layer,
                axis=unit.weight_axis or 0,
                bits=bits if work <= _MOST_WORK else None,
                has_bias=place.bias is not None,
            )
        )
    return tuple(found)


def _fit_all(
    files: tuple[Path, ...], tasks: Sequence[Task], data: Dataset, samples: int
) -> dict[str, Fitted]:
    exact, int8 = side_by_side(files, data, samples)
    found = {}
    for index, task in enumerate(tasks):
        native.at(task.layer.node)
        place = Place.of(next(node for node in int8.graph if node.name == task.layer.node))
        if place is not None:
            parts = _rows(exact, int8, task.layer, place)
            fit, bias = _fit(task, _weight_of(exact, task.layer), place, *parts)
            place.take(fit, bias)
            if fit.weight is not None or fit.bias is not None:
                found[task.unit] = fit
        native.report(index + 1, len(tasks))
    return found


def _weight_of(exact: Stepwise, layer: Layer) -> Doubles:
    """Return the float layer's weight, shape (groups, rows, columns)."""
    stored = exact.graph.initializers[layer.weight].const_value
    if stored is None:
        raise TypeError(layer.weight)
    matrix = layer.matrix(stored.numpy()).astype(np.float64)
    return matrix.reshape(layer.groups, layer.outputs // layer.groups, -1)


def _rows(exact: Stepwise, int8: Stepwise, layer: Layer, place: Place) -> tuple[Rows, Rows]:
    """Return the positions to fit to, and those held out."""
    name = place.reads.name or ""
    values = ir.convenience.create_value_mapping(exact.graph, include_subgraphs=False)
    response = response_to(values[layer.output])
    int8.advance([name])
    exact.advance([layer.output])
    total = sum(part.size for part in int8.parts)
    rows = layer.outputs // layer.groups
    found: tuple[list[tuple[Floats, Floats]], ...] = ([], [])
    for part in int8.parts:
        data, wanted = int8.read(name, part), exact.read(layer.output, part)
        count = math.ceil(_rows_wanted(layer.columns) * part.size / total)
        at = some_positions(layer.node, part.number, reads(layer, data.shape), count)
        x, y = read_at(layer, data, at), written_at(layer, wanted, at)
        y = y.reshape(len(at), layer.groups, rows).transpose(1, 0, 2)
        found[part.held_out].append((_floats(x), _floats(y)))
    return tuple(_joined(parts, layer, rows, response) for parts in found)  # type: ignore[return-value]  # two of them


def _joined(
    parts: list[tuple[Floats, Floats]], layer: Layer, rows: int, response: Response | None
) -> Rows:
    empty = [np.zeros((layer.groups, 0, columns), np.float32) for columns in (layer.columns, rows)]
    x, y = (
        np.concatenate([nothing, *each], axis=1)
        for nothing, each in zip(
            empty, zip(*parts, strict=True) if parts else ((), ()), strict=True
        )
    )
    return Rows(x=x, y=y, response=response)


def _floats(array: npt.NDArray[Any]) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float32)


def _rows_wanted(columns: int) -> int:
    affordable = max(_FEWEST_A_COLUMN * columns, _PRODUCTS // columns**2)
    return max(_LEAST_ROWS, min(_ROWS_A_COLUMN * columns, affordable))


def _fit(
    task: Task, weight: Doubles, place: Place, rows: Rows, held_out: Rows
) -> tuple[Fitted, Doubles]:
    """Return the best of what can be done, and the bias that the layer had.

    Args:
        task: the layer.
        weight: of the float layer, shape (groups, rows, columns).
        place: of its integers.
        rows: to fit to.
        held_out: to judge by.
    """
    layer = task.layer
    scales = place.scale_values()
    before = layer.matrix(place.weight(task.axis)).reshape(weight.shape).astype(np.float64)
    bias = place.bias_values(layer.outputs)
    given = bias.reshape(weight.shape[:2])
    least = held_out.error(before, given)
    best = Fitted()
    if not held_out.count:
        return best, bias
    if task.has_bias:
        corrected = rows.best_bias(before, given)
        error = held_out.error(before, corrected)
        if error < least * _WORTH:
            least, best = error, Fitted(bias=corrected.reshape(-1))
    if task.bits is None or scales.ndim == 0:
        return best, bias
    wanted, second, shift = _aimed(weight, given, rows, fixed=not task.has_bias)
    chosen = scales_of(wanted, second, task.bits)
    integers = rounded(wanted, second, chosen, task.bits)
    real = integers * chosen[..., None]
    corrected = rows.best_bias(real, shift) if task.has_bias else given
    if held_out.error(real, corrected) < least * _WORTH:
        flat = integers.reshape(layer.outputs, -1)
        best = Fitted(
            weight=QuantizedWeight(
                integers=layer.stored(flat, place.integer_values()),
                scales=chosen.reshape(-1).astype(np.float32),
                axis=task.axis,
            ),
            bias=corrected.reshape(-1) if task.has_bias else None,
        )
    return best, bias


def _aimed(
    weight: Doubles, bias: Doubles, rows: Rows, *, fixed: bool
) -> tuple[Doubles, Doubles, Doubles]:
    """Return (weight to round, second moments by which to round it, bias to go with it).

    Args:
        weight: of the float layer.
        bias: to start from.
        rows: to fit to.
        fixed: the bias stays.
    """
    found = weight
    second = np.zeros(0)
    for _ in range(_AIMS if rows.response else 1):
        if not fixed:
            bias = rows.best_bias(found, bias)
        second, cross = rows.moments(rows.wanted(found, bias), bias if fixed else None)
        found = toward(weight, second, cross)
    return found, second, bias
