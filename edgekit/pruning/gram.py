"""Second moments of what layers read, streamed over a dataset."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.errors import CalibrationError
from edgekit.graph import Model, file_size
from edgekit.graph.trial import open_session
from edgekit.layerwise.batches import batch_size, batches
from edgekit.layerwise.columns import read_at, reads, some_positions
from edgekit.layerwise.layers import Layer, layers_of
from edgekit.layerwise.saving import saved

Matrix = npt.NDArray[np.float64]

SAMPLES = 2048
_ROWS_A_COLUMN = 50
_FEWEST_A_COLUMN = 4
_PRODUCTS = 4 * 10**11
_LEAST_ROWS = 2048
_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gram:
    """Second moments of what a layer reads.

    Attributes:
        matrix: X X', float64, shape (columns + 1, columns + 1), the last row of X ones; of a
            grouped convolution (groups, columns + 1, columns + 1). The columns are in the order
            of those of the weight as [outputs, inputs of one group * kernel].
        count: how many positions were summed over.
    """

    matrix: Matrix
    count: int


def grams(
    model: Model,
    nodes: Sequence[str],
    data: Dataset,
    workspace: Path,
    *,
    samples: int = SAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Gram]:
    """Return the second moments of what each node reads, by node.

    Positions are a fixed random selection, at most 50 a column; memory does not grow with the data.

    Args:
        model: its constants are initializers.
        nodes: Conv, Gemm or MatMul with constant weights; others are left out of the result.
        data: at most `samples` samples of it, evenly spread, go through the model.
        workspace: for a temporary file.
        samples: see `data`.
        progress: called with (samples done, in all).

    Raises:
        ModelError: the model does not run on the data.
    """
    wanted = set(nodes)
    layers = [layer for layer in layers_of(model.ir.graph) if layer.node in wanted]
    if not layers:
        return {}
    outputs = [value.name for value in model.outputs]
    sums = sum(24 * layer.groups * (layer.columns + 1) ** 2 for layer in layers)
    with saved(workspace, grams=exposing(model, [layer.data for layer in layers])) as (file,):
        found: dict[str, Gram] = native.call(
            "measuring second moments",
            _measure,
            file,
            layers,
            outputs,
            data,
            samples,
            timeout_s=_TIMEOUT_S,
            memory_bytes=(2 << 30) + 3 * file_size(file) + sums,
            progress=progress,
        )
    return found


def exposing(model: Model, names: Sequence[str]) -> Model:
    """Return the model with these inner values among its outputs."""
    watching = model.editable()
    graph = watching.graph
    values = ir.convenience.create_value_mapping(graph, include_subgraphs=False)
    present = {*graph.outputs, *graph.inputs}
    wanted = [values[name] for name in dict.fromkeys(names)]
    graph.outputs.extend(value for value in wanted if value not in present)
    return Model(ir=watching, name=model.name)


def rows_wanted(columns: int) -> int:
    """Return how many positions are enough to fit this many columns to."""
    affordable = max(_FEWEST_A_COLUMN * columns, _PRODUCTS // columns**2)
    return max(_LEAST_ROWS, min(_ROWS_A_COLUMN * columns, affordable))


def with_ones(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return rows, shape (groups, positions, columns), with a last column of ones."""
    ones = np.ones((*rows.shape[:-1], 1), np.float32)
    return np.concatenate([rows, ones], axis=-1, dtype=np.float32, casting="same_kind")


def _measure(
    file: Path, layers: Sequence[Layer], outputs: Sequence[str], data: Dataset, samples: int
) -> dict[str, Gram]:
    session = open_session(str(file), threads=os.cpu_count() or 1)
    names = [value.name for value in session.get_outputs()]
    size = batch_size(session, outputs, data)
    total, done = min(samples, len(data)), 0
    sums: dict[str, tuple[Matrix, int]] = {}
    for batch in batches(data, samples, size):
        values = dict(zip(names, session.run(None, batch.feeds), strict=True)) | batch.feeds
        for layer in layers:
            read = values[layer.data]
            count = reads(layer, read.shape)
            wanted = math.ceil(rows_wanted(layer.columns) * batch.size / total)
            positions = some_positions(layer.node, batch.number, count, wanted)
            rows = with_ones(read_at(layer, read, positions))
            if not np.isfinite(rows).all():
                raise CalibrationError(
                    "an activation is not finite",
                    where=layer.data,
                    found="NaN or infinity",
                    remedy="check the data and the model in float first",
                )
            moment = (rows.transpose(0, 2, 1) @ rows).astype(np.float64)
            before, seen = sums.get(layer.node, (np.zeros_like(moment), 0))
            before += moment
            sums[layer.node] = before, seen + len(positions)
        done += batch.size
        native.report(done, total)
    return {
        name: Gram(matrix=matrix[0] if len(matrix) == 1 else matrix, count=count)
        for name, (matrix, count) in sums.items()
    }
