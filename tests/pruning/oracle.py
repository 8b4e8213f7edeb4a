"""Do the smaller graph and the masked one answer alike? Runs in a native child."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.graph import trial


def disagreement(masked: bytes, removed: bytes, batch: int) -> float:
    """Return the largest difference of any output, in shares of the output's largest value.

    Raises:
        ModelError: one of the two does not run.
        InferenceError: strict shape inference refuses the smaller graph.
    """
    smaller = onnx.load_from_string(removed)
    onnx.checker.check_model(smaller)
    onnx.shape_inference.infer_shapes(smaller, strict_mode=True, data_prop=True)
    sessions = [trial.open_session(model, optimized=False) for model in (masked, removed)]
    worst = 0.0
    for size in (1, batch):
        shapes = {spec.name: (size, *spec.shape[1:]) for spec in sessions[0].get_inputs()}
        inputs = trial.random_inputs(sessions[0], shapes)
        expected, found = (trial.run(session, inputs) for session in sessions)
        worst = max(worst, *map(_difference, expected, found))
    return worst


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    if expected.shape != found.shape or not np.isfinite(expected).all():
        return float("inf")
    scale = np.abs(expected).max()
    return float(np.abs(expected - found).max() / (scale or 1.0))
