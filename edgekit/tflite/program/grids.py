"""Grids of constants: integers and scales that give a float array exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]
_HIGHEST = 127
_OFF_GRID = 1e-3


def on_grid(values: Array, axis: int) -> tuple[Array, Array] | None:
    """Return the integers and the scales that give `values` exactly; None where none do.

    Args:
        values: float32.
        axis: of channels; each has its own scale.
    """
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    peaks = np.abs(rows).max(axis=1)
    steps = np.zeros(len(rows))
    for steps_to_peak in range(_HIGHEST, 0, -1):
        open_rows = np.flatnonzero((steps == 0) & (peaks > 0))
        if not open_rows.size:
            break
        scaled = rows[open_rows] * (steps_to_peak / peaks[open_rows])[:, None]
        fits = np.abs(scaled - np.rint(scaled)).max(axis=1) < _OFF_GRID
        steps[open_rows[fits]] = steps_to_peak
    if np.any((steps == 0) & (peaks > 0)):
        return None
    scales = np.where(peaks > 0, peaks / np.maximum(steps, 1), 1.0)
    shape = [1] * values.ndim
    shape[axis] = -1
    integers = np.rint(values / scales.reshape(shape)).astype(np.int8)
    return integers, scales.astype(np.float32)


def grid(scales: Array, axis: int = 0) -> Any:
    """Return the symmetric grid of a constant."""
    made = schema.QuantizationParametersT()
    made.scale = np.asarray(scales, np.float32)
    made.zeroPoint = np.zeros(len(made.scale), np.int64)
    made.quantizedDimension = axis
    return made
