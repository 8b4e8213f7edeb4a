"""Bounds of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.float64]

_SEED = 20240
_RESAMPLES = 4_000


def mean_bounds(values: Numbers, confidence: float) -> tuple[float, float]:
    """Bound the mean of independent values by Student's t; at least 2 values."""
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    array = np.asarray(values, dtype=float)
    margin = stats.t.ppf(confidence, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size)
    return float(array.mean() - margin), float(array.mean() + margin)


def bootstrap_mean_bounds(values: Numbers, confidence: float) -> tuple[float, float]:
    """Bound the mean of values of any distribution by resampling them; always the same way."""
    array = np.asarray(values, dtype=float)
    random = np.random.default_rng(_SEED)
    chunk = max(1, 1_000_000 // array.size)
    means = np.concatenate(
        [
            array[
                random.integers(0, array.size, size=(min(chunk, _RESAMPLES - at), array.size))
            ].mean(axis=1)
            for at in range(0, _RESAMPLES, chunk)
        ]
    )
    low, high = np.quantile(means, [1 - confidence, confidence])
    return float(low), float(high)
