"""Comparing two models by blocks: a ratio of each block, looked at again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgekit.statistics.means import Numbers

LOOKS = (5, 10, 15, 20, 30)
"""Numbers of blocks after which a comparison may stop."""
LOOK_SHARE = 0.25
"""What one look spends of the whole error: found by simulation to keep it over all of `LOOKS`."""
DELTA = 0.03
"""How much slower is a regression."""


def look_confidence(confidence: float) -> float:
    """Return the confidence of each look that keeps `confidence` over all looks.

    >>> round(look_confidence(0.99), 6)
    0.9975
    """
    return 1 - LOOK_SHARE * (1 - confidence)


def paired_log_ratio(runs: Sequence[Sequence[Numbers]], statistic: str) -> float:
    """Return log(candidate / original) of one block.

    The median is compared round by round, within which the device hardly drifts, and the middle
    of the rounds is taken: a disturbance shorter than half the block leaves no trace. The mean and
    the tails are about disturbances, and are taken over each run's whole samples.

    Args:
        runs: original, candidate, candidate, original: for each the samples of each round, > 0.
        statistic: `mean` or a percentile such as `p50`, `p95`, `p99`.
    """
    if statistic == "p50":
        medians = [np.log([np.median(samples) for samples in run]) for run in runs]
        return float(np.median((medians[1] + medians[2] - medians[0] - medians[3]) / 2))
    logs = [math.log(_of(np.concatenate([*run]), statistic)) for run in runs]
    return (logs[1] + logs[2] - logs[0] - logs[3]) / 2


def _of(samples: npt.NDArray[np.float64], statistic: str) -> float:
    if statistic == "mean":
        return float(samples.mean())
    return float(np.quantile(samples, float(statistic.removeprefix("p")) / 100))


def smallest_detectable(
    log_ratios: Numbers, *, limit: float, confidence: float, power: float = 0.9
) -> float:
    """Return the smallest true ratio that this many blocks would have failed with `power`.

    Args:
        log_ratios: one a block, at least 2.
        limit: the ratio that is allowed.
        confidence: of one look.
        power: chance of a `fail`.
    """
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    number = len(log_ratios)
    error = float(np.std(log_ratios, ddof=1)) / math.sqrt(number)
    steps = stats.t.ppf(confidence, number - 1) + stats.t.ppf(power, number - 1)
    return limit * math.exp(float(steps) * error)
