"""Intervals and tests on plain numbers. No I/O, no randomness without a seed.

A pair `(low, high)` bounds a quantity on either side: the truth lies below `low` with a probability
of at most 1 - confidence, and above `high` likewise. So each side by itself is a one-sided bound at
`confidence`, which is what a budget asks for.
"""

from edgekit.statistics.means import bootstrap_mean_bounds, mean_bounds
from edgekit.statistics.proportions import mcnemar, paired_proportion_bounds, proportion_bounds
from edgekit.statistics.quantiles import (
    effective_samples,
    grouped_quantile_bounds,
    least_samples,
    quantile_bounds,
)
from edgekit.statistics.ratios import (
    DELTA,
    LOOKS,
    look_confidence,
    paired_log_ratio,
    smallest_detectable,
)

__all__ = [
    "DELTA",
    "LOOKS",
    "bootstrap_mean_bounds",
    "effective_samples",
    "grouped_quantile_bounds",
    "least_samples",
    "look_confidence",
    "mcnemar",
    "mean_bounds",
    "paired_log_ratio",
    "paired_proportion_bounds",
    "proportion_bounds",
    "quantile_bounds",
    "smallest_detectable",
]
