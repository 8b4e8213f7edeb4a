"""Mean squares of activations along one axis, streamed over a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.graph import Model, file_size
from edgekit.graph.trial import open_session
from edgekit.layerwise.batches import batch_size, batches
from edgekit.layerwise.saving import saved

Place = tuple[str, int]
"""A value and one of its axes."""
Moments = npt.NDArray[np.float64]

SAMPLES = 128
_TIMEOUT_S = 1800.0


def mean_squares(
    model: Model,
    places: Sequence[Place],
    data: Dataset,
    workspace: Path,
    *,
    samples: int = SAMPLES,
) -> dict[Place, Moments]:
    """Return E[x^2] at each position of an axis, over all other axes and samples.

    Args:
        model: what runs.
        places: activations, each with the axis that stays.
        data: at most `samples` samples of it, evenly spread, go through the model.
        workspace: for a temporary file.
        samples: see `data`.

    Raises:
        ModelError: the model does not run on the data.
    """
    if not places:
        return {}
    watching = model.editable()
    values = ir.convenience.create_value_mapping(watching.graph)
    present = {value.name for value in watching.graph.outputs}
    names = dict.fromkeys(name for name, _ in places)
    watching.graph.outputs.extend(values[name] for name in names if name not in present)
    outputs = [value.name for value in model.outputs]
    with saved(workspace, moments=Model(ir=watching, name=model.name)) as (file,):
        found: dict[Place, Moments] = native.call(
            "measuring activations",
            _measure,
            file,
            list(places),
            outputs,
            data,
            samples,
            timeout_s=_TIMEOUT_S,
            memory_bytes=(2 << 30) + 3 * file_size(file),
        )
    return found


def _measure(
    file: Path, places: list[Place], outputs: list[str], data: Dataset, samples: int
) -> dict[Place, Moments]:
    session = open_session(str(file), threads=os.cpu_count() or 1)
    names = [value.name for value in session.get_outputs()]
    sums: dict[Place, Any] = dict.fromkeys(places, 0.0)
    counts = dict.fromkeys(places, 0)
    for batch in batches(data, samples, batch_size(session, outputs, data)):
        values = dict(zip(names, session.run(None, batch.feeds), strict=True))
        for place in places:
            value = np.moveaxis(values[place[0]], place[1], -1)
            rows = value.reshape(-1, value.shape[-1]).astype(np.float32, copy=False)
            sums[place] = sums[place] + np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
            counts[place] += len(rows)
    return {place: sums[place] / max(counts[place], 1) for place in places}
