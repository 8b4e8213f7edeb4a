"""Bounds of a quantile, of independent samples and of samples in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.statistics.means import Numbers

_NO_SPREAD = 1e-9
_LARGEST_LOG = 700.0
_NODES, _LOGITS, _SPREADS, _KNOWN = 600, 12.0, 200, 24
"""How finely the scatter within groups, and the spread between them, are integrated over."""


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
    `binom.cdf(t, n, 1 - share) <= 1 - confidence`. For samples of processes that differ see
    `grouped_quantile_bounds`.
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


def effective_samples(number: float, groups: int, confidence: float) -> float:
    """Return how many independent samples `number` of them are worth at most, being of `groups`.

    What the samples of a group have in common is known from 2 or more groups, and ill from few.

    Source: Korn and Graubard 1998, confidence intervals for proportions with small expected number
    of positive counts estimated from survey data.

    >>> [round(effective_samples(1000, groups, 0.95)) for groups in (2, 5, 10, 30)]
    [68, 595, 805, 937]
    """
    from scipy import stats  # noqa: PLC0415  # scipy takes long to import

    return number * float(stats.norm.ppf(confidence) / stats.t.ppf(confidence, groups - 1)) ** 2


def grouped_quantile_bounds(
    groups: Sequence[Numbers], share: float, confidence: float
) -> tuple[float, float]:
    """Bound the quantile `share` of all samples that any group could give, seen but these groups.

    Samples of a group (runs of one block) lie nearer to each other than to others. Two bounds must
    hold, as each alone is too narrow in some case: one by ranks, for how often a limit is overrun
    varies between groups; and one that takes the logarithms of the groups' medians for normally
    distributed, for few groups have not shown the slow ones yet. tools/bench/gate_simulation.py
    prints how often both together are wrong.

    Args:
        groups: at least 2, of samples > 0.
        share: of the quantile, 0 to 1.
        confidence: of each side.

    Returns:
        low and high; -inf or inf where `effective_samples` are too few.
    """
    by_model = _random_effects_bounds(groups, share, confidence)
    high = max(_rank_bound(groups, share, confidence), by_model[1])
    mirrored = [-np.asarray(group, dtype=float) for group in groups]
    low = min(-_rank_bound(mirrored, 1 - share, confidence), by_model[0])
    return low, high


def _rank_bound(groups: Sequence[Numbers], share: float, confidence: float) -> float:
    """Return the least sample that overruns, of which the groups have different shares, allow.

    Source: Korn and Graubard 1998, as in `effective_samples`: Clopper and Pearson's bound on as
    many independent samples as have the variance that is seen between groups.
    """
    from scipy import special  # noqa: PLC0415  # scipy takes long to import

    sizes = np.array([len(group) for group in groups])
    samples = np.concatenate([np.asarray(group, dtype=float) for group in groups])
    number, order = samples.size, np.argsort(samples)
    owners = np.repeat(np.arange(sizes.size), sizes)[order]
    # over[r, g]: samples of group g above the r-th of all
    over = sizes - np.cumsum(owners[:, None] == np.arange(sizes.size), axis=0)
    overrun = over.sum(axis=1) / number
    between = ((over - overrun[:, None] * sizes) ** 2).sum(axis=1) / number**2
    between *= sizes.size / (sizes.size - 1)
    independent = overrun * (1 - overrun) / number
    inflation = np.maximum(between / np.where(independent > 0, independent, np.inf), 1.0)
    worth = effective_samples(number, sizes.size, confidence) / inflation
    hits = overrun * worth
    too_low = np.flatnonzero(special.betainc(hits + 1, worth - hits, 1 - share) < confidence)
    at = int(too_low[-1]) + 1 if too_low.size else 0
    return float(samples[order[at]]) if at < number else math.inf


def _random_effects_bounds(
    groups: Sequence[Numbers], share: float, confidence: float
) -> tuple[float, float]:
    """Bound the quantile of a normal effect of each group times what any of its samples scatters.

    Source: Krishnamoorthy and Mathew 2004, one-sided tolerance limits in balanced and unbalanced
    one-way random models, with the scatter within groups as it was seen.
    """
    from scipy import optimize, special, stats  # noqa: PLC0415  # scipy takes long to import

    logs = [np.log(np.asarray(group, dtype=float)) for group in groups]
    centres = np.array([np.median(group) for group in logs])
    spread = float(centres.std(ddof=1))
    scatter = np.concatenate([group - at for group, at in zip(logs, centres, strict=True)])
    if spread < _NO_SPREAD:
        alike = math.exp(centres.mean() + float(np.quantile(scatter, share)))
        return alike, alike
    edges = special.expit(np.linspace(-_LOGITS, _LOGITS, _NODES + 1))
    scatter = np.quantile(scatter, (edges[1:] + edges[:-1]) / 2)
    weights = np.diff(edges) / (edges[-1] - edges[0])

    def of_mixture(effect: float) -> float:
        reach = 10 * effect
        return float(
            optimize.brentq(
                lambda at: weights @ special.ndtr((at - scatter) / effect) - share,
                scatter[0] - reach,
                scatter[-1] + reach,
            )
        )

    # every spread that the seen one can be of, all equally likely
    chances = (np.arange(_SPREADS) + 0.5) / _SPREADS
    free = len(groups) - 1
    effects = spread * np.sqrt(free / stats.chi2.ppf(chances, free))
    known = np.geomspace(effects.min(), effects.max(), _KNOWN)
    middles = centres.mean() + np.interp(effects, known, [of_mixture(at) for at in known])
    errors = effects / math.sqrt(len(groups))

    def bound(chance: float) -> float:
        reach = 10 * float(errors.max())
        found = float(
            optimize.brentq(
                lambda at: special.ndtr((at - middles) / errors).mean() - chance,
                middles.min() - reach,
                middles.max() + reach,
            )
        )
        return math.exp(found) if found < _LARGEST_LOG else math.inf

    return bound(1 - confidence), bound(confidence)
