"""Intervals and tests on plain numbers. No I/O, no randomness without a seed.

A pair `(low, high)` bounds a quantity on either side: the truth lies below `low` with a probability
of at most 1 - confidence, and above `high` likewise. So each side by itself is a one-sided bound at
`confidence`, which is what a budget asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.float64]
Ruling = Literal["pass", "fail", "inconclusive"]

LOOKS = (5, 10, 15, 20, 30)
"""Numbers of blocks after which a comparison may stop."""
LOOK_SHARE = 0.25
"""What one look spends of the whole error: found by simulation to keep it over all of `LOOKS`."""
DELTA = 0.03
"""How much slower is a regression."""

_SEED = 20240
_RESAMPLES = 4_000


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


def rule_ratio(log_ratios: Numbers, *, limit: float, confidence: float) -> Ruling:
    """Rule whether the ratio keeps `limit`, from one log ratio a block.

    `fail` iff the lower t bound of the mean lies above log(limit), `pass` iff the upper one lies
    below. With `limit=1 + DELTA` and `confidence=look_confidence(0.99)` at each of `LOOKS` it is
    the rule for regressions: a ratio at the limit fails, and passes, in 1% of all comparisons.
    """
    low, high = mean_bounds(log_ratios, confidence)
    if low > math.log(limit):
        return "fail"
    return "pass" if high < math.log(limit) else "inconclusive"


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


def mean_bounds(values: Numbers, confidence: float) -> tuple[float, float]:
    """Bound the mean of independent values by Student's t; at least 2 values."""
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    array = np.asarray(values, dtype=float)
    margin = stats.t.ppf(confidence, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size)
    return float(array.mean() - margin), float(array.mean() + margin)


def least_samples(share: float, confidence: float) -> int:
    """Return the fewest samples whose largest one bounds the quantile `share` from above.

    >>> [least_samples(share, 0.95) for share in (0.9, 0.95, 0.99, 0.999)]
    [29, 59, 299, 2995]
    """
    return math.ceil(math.log(1 - confidence) / math.log(share))


def quantile_bounds(samples: Numbers, share: float, confidence: float) -> tuple[float, float]:
    """Bound the quantile `share` of a distribution by two of its independent samples.

    Without an assumption about the distribution; -inf or inf where the samples are too few.
    `high <= limit` is MLPerf's early-stopping rule: with t samples above the limit,
    `binom.cdf(t, n, 1 - share) <= 1 - confidence`.
    """
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    ordered = np.sort(np.asarray(samples, dtype=float))
    number = ordered.size
    # overruns(t) = P(at most t of n samples lie above the quantile)
    overruns = int(stats.binom.ppf(1 - confidence, number, 1 - share))
    while overruns >= 0 and stats.binom.cdf(overruns, number, 1 - share) > 1 - confidence:
        overruns -= 1
    below = int(stats.binom.ppf(1 - confidence, number, share))
    while below >= 0 and stats.binom.cdf(below, number, share) > 1 - confidence:
        below -= 1
    low = float(ordered[below]) if below >= 0 else -math.inf
    high = float(ordered[number - 1 - overruns]) if overruns >= 0 else math.inf
    return low, high


def samples_for_overruns(overruns: int, share: float, confidence: float) -> int:
    """Return how many samples in all bound the quantile `share` with `overruns` above a limit.

    >>> samples_for_overruns(0, 0.95, 0.95)
    59
    """
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    def enough(number: int) -> bool:
        return bool(stats.binom.cdf(overruns, number, 1 - share) <= 1 - confidence)

    high = max(1, overruns)
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def proportion_bounds(hits: int, number: int, confidence: float) -> tuple[float, float]:
    """Bound a proportion exactly.

    Source: Clopper and Pearson 1934.
    """
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    error = 1 - confidence
    low = stats.beta.ppf(error, hits, number - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - error, hits + 1, number - hits) if hits < number else 1.0
    return float(low), float(high)


def paired_proportion_bounds(
    lost: int, gained: int, number: int, confidence: float
) -> tuple[float, float]:
    """Bound the share lost less the share gained between two sets of answers to the same samples.

    Tango's score interval, and on the side that proves no change never nearer to zero than what
    no loss at all would prove exactly: with 200 samples nothing under 1.49 points can pass at 95%.
    By simulation a true difference lies above the upper bound in at most 5.1% at 95%, where Wald's
    interval is exceeded in 5 to 38%.

    Args:
        lost: samples that only the first answered rightly.
        gained: samples that only the second answered rightly.
        number: all samples.
        confidence: of each side.

    Source: Tango 1998, equivalence test and confidence interval for the difference in proportions
    for the paired-sample design.

    >>> round(100 * paired_proportion_bounds(11, 11, 2000, 0.95)[1], 2)
    0.41
    """
    high = _tango_upper(lost, gained, number, confidence)
    low = -_tango_upper(gained, lost, number, confidence)
    floor = 1 - (1 - confidence) ** (1 / number)
    return (low if low > 0 else min(low, -floor)), (high if high < 0 else max(high, floor))


def _tango_upper(lost: int, gained: int, number: int, confidence: float) -> float:
    from scipy import optimize, stats  # noqa: PLC0415  # scipy takes long to import

    z = float(stats.norm.ppf(confidence))

    def excess(difference: float) -> float:
        a = 2 * number
        b = -lost - gained + (2 * number - lost + gained) * difference
        c = -gained * difference * (1 - difference)
        gaining = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = number * (2 * gaining + difference * (1 - difference))
        return lost - gained - number * difference + z * math.sqrt(max(variance, 0.0))

    start = (lost - gained) / number
    if excess(1.0) >= 0:
        return 1.0
    return float(optimize.brentq(excess, start, 1.0, xtol=1e-12))


def samples_for_drop(limit: float, confidence: float, *, differing: float = 0.0) -> int:
    """Return how many samples bound a drop of none by `limit`.

    Args:
        limit: share, > 0.
        confidence: of the bound.
        differing: share of samples that are answered differently, half of them for the better.

    >>> samples_for_drop(0.005, 0.95)
    598
    """

    def enough(number: int) -> bool:
        each = round(differing * number / 2)
        return paired_proportion_bounds(each, each, number, confidence)[1] <= limit

    low = high = math.ceil(math.log(1 - confidence) / math.log(1 - limit))
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided exact p value of "the answers did not change for better or worse"."""
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    if lost + gained == 0:
        return 1.0
    return float(stats.binomtest(lost, lost + gained, 0.5).pvalue)


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
