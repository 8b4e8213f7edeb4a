"""How often each of several teachers is right, told by what all of them say: no label is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FEWEST = 3
"""Teachers: of two that differ nobody can tell which one is right."""
_START = 0.8
_ROUNDS = 50
_CERTAIN = 1e-3
_MOST = 50_000


def shares_right(said: Sequence[npt.NDArray[np.int64]], classes: int) -> npt.NDArray[np.float64]:
    """Return how often each teacher names the right class, 0 to 1.

    A teacher is right with the same chance whatever the class, and errs alike to all others; which
    classes are right and how often each is right are estimated in turns. Where two teachers make
    the same mistakes, both seem better than they are.

    Args:
        said: by teacher: the class of each sample.
        classes: how many there are, at least 2.

    Source: Dawid and Skene 1979, maximum likelihood estimation of observer error-rates using the
    EM algorithm, with one rate an observer.

    >>> said = [np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3]), np.array([0, 1, 0, 0])]
    >>> shares_right(said, 4).round(2).tolist()
    [1.0, 1.0, 0.5]
    """
    named = np.stack([np.eye(classes, dtype=bool)[one] for one in said])
    right = np.full(len(said), _START)
    for _ in range(_ROUNDS):
        odds = np.log(right / (1 - right) * (classes - 1))
        scores = np.tensordot(odds, named, 1)
        likely = np.exp(scores - scores.max(-1, keepdims=True))
        likely /= likely.sum(-1, keepdims=True)
        right = (named * likely).sum(-1).mean(-1).clip(1 / classes, 1 - _CERTAIN)
    return np.asarray(right, np.float64)


def weights_by(said: Sequence[npt.NDArray[np.int64]], classes: int) -> npt.NDArray[np.float64]:
    """Return what each teacher counts for, the inverse of how often it errs; the sum is 1.

    Args:
        said: by teacher: the class of each sample; some from all over are enough of many.
        classes: how many there are, at least 2.
    """
    some = [one[:: max(one.size // _MOST, 1)] for one in said]
    number = some[0].size
    # one more that is wrong and one that is right, lest few samples seem to show a perfect teacher
    errs = (number * (1 - shares_right(some, classes)) + 1) / (number + 2)
    return np.asarray((1 / errs) / (1 / errs).sum(), np.float64)
