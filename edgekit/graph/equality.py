"""Do two models answer alike? Decided by running both on the same random inputs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import native
from edgekit.errors import ModelError
from edgekit.graph import trial
from edgekit.graph.model import Model
from edgekit.graph.save import save

_GUESSES = (32, 64, 224, 48, 8, 1)


def largest_difference(
    one: Model, other: Model, shapes: dict[str, tuple[int, ...]] | None = None
) -> float:
    """Return the largest relative difference of any output, at two batch sizes if batch is dynamic.

    An output's difference is max |a - b| over max |a|; infinite when shapes or types differ, or
    when integers or NaNs do not agree exactly.

    Args:
        one: the model that counts.
        other: what is compared with it.
        shapes: of the inputs; without one, dynamic axes are guessed so that `one` runs.

    Raises:
        ModelError: `one` runs at none of the guessed shapes, or `other` does not run where it does.
    """
    batched = tuple(
        spec.name for spec in one.inputs if spec.shape and not isinstance(spec.shape[0], int)
    )
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        files = [Path(folder) / "one.onnx", Path(folder) / "other.onnx"]
        for model, file in zip((one, other), files, strict=True):
            save(model, file)
        difference: float = native.call("comparing outputs", compare, *files, shapes or {}, batched)
    return difference


def compare(
    one: Path, other: Path, shapes: dict[str, tuple[int, ...]], batched: tuple[str, ...]
) -> float:
    """Return what `largest_difference` says, of files; runs in a native child."""
    first, second = trial.open_session(str(one)), trial.open_session(str(other))
    concrete, expected = _working(first, shapes)
    worst = _difference(expected, trial.run(second, trial.random_inputs(first, concrete)))
    if batched:
        larger = {
            name: (shape[0] + 1, *shape[1:]) if name in batched else shape
            for name, shape in concrete.items()
        }
        inputs = trial.random_inputs(first, larger)
        try:
            expected = trial.run(first, inputs)
        except ModelError:
            return worst
        worst = max(worst, _difference(expected, trial.run(second, inputs)))
    return worst


def _working(
    session: Any, shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, tuple[int, ...]], list[NDArray[Any]]]:
    """Return input shapes at which the model runs, and its outputs there."""
    refusal = None
    for fill in _GUESSES:
        concrete = trial.shapes_for(session, shapes, fill)
        try:
            return concrete, trial.run(session, trial.random_inputs(session, concrete))
        except ModelError as error:
            refusal = refusal or error
    raise refusal or ModelError("does not run")


def _difference(expected: list[NDArray[Any]], found: list[NDArray[Any]]) -> float:
    return max(map(_array_difference, expected, found), default=0.0)


def _array_difference(expected: Any, found: Any) -> float:
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray):
        return 0.0 if str(expected) == str(found) else float("inf")
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    a, b = expected[finite].astype(np.float64), found[finite].astype(np.float64)
    scale = np.abs(a).max()
    return float(np.abs(a - b).max() / scale) if scale else float(np.abs(b).max())
