"""Fits through a rectifier: where the dense sum is negative, any negative one does as well.

Sought is the least sum of (relu(p) - relu(y))^2, where p = W x + b + skip and y is the dense sum.
Around the p of the last round that is at most (p - t)^2, up to a constant, with the target

    t = y             where y > 0
    t = min(p, 0)     elsewhere

and equal to it at that p, so each ridge regression to t comes closer, and all of them have the
same Gram matrix.

Source: Zhang et al. 2015 (Accelerating Very Deep Convolutional Networks), section 3.2, who part
the rectifier from the fit by a penalty; Hunter and Lange 2004 for the bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from edgekit.pruning.fitting import Affine, Fit, Moments
from edgekit.pruning.ridge import Matrix, joined

Array = npt.NDArray[Any]

ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a layer reads and should make at some positions, float32.

    Attributes:
        x: shape (positions, columns), the last column ones.
        y: the dense sum, shape (positions, outputs).
        skip: what the pruned network adds, shape (positions, outputs); None for nothing.
    """

    x: Array
    y: Array
    skip: Array | None

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """Return the positions of all parts."""
        skips = [part.skip for part in parts if part.skip is not None]
        return cls(
            x=np.concatenate([part.x for part in parts]),
            y=np.concatenate([part.y for part in parts]),
            skip=np.concatenate(skips) if skips else None,
        )

    def sums(self, matrix: Matrix) -> Array:
        """Return p of [W b], shape (positions, outputs)."""
        made: Array = self.x @ matrix.T.astype(np.float32)
        return made if self.skip is None else made + self.skip

    def error(self, matrix: Matrix) -> float:
        """Return the share of the variance of relu(y) that [W b] misses."""
        wanted = np.maximum(self.y, 0)
        missed = np.square(np.maximum(self.sums(matrix), 0) - wanted, dtype=np.float64).sum()
        spread = np.square(wanted - wanted.mean(axis=0), dtype=np.float64).sum()
        return float(missed / spread) if spread > 0 else float(missed)

    def cross(self, matrix: Matrix) -> Matrix:
        """Return (t - skip) X' for the targets around the p of [W b]."""
        targets = np.where(self.y > 0, self.y, np.minimum(self.sums(matrix), 0))
        if self.skip is not None:
            targets -= self.skip
        return (targets.T @ self.x).astype(np.float64)


def through_relu(
    rows: tuple[Rows, Rows],
    moments: tuple[Moments, Moments],
    prior: Affine,
    linear: Fit,
) -> Fit:
    """Return what to take: the weights of the round that is best on held-out data.

    Args:
        rows: to fit to, and held out.
        moments: of the same rows, with y less the skip as what is wanted; of one group.
        prior: what is pulled toward.
        linear: the fit to y itself, taken if no round is better or if it is no ridge regression.
    """
    if linear.strength is None:
        return linear
    fit, held_out = rows
    start = joined(prior[0][0], prior[1][0])
    regress = _Ridge(moments[0], start, linear.strength)
    matrix = regress(moments[0].cross[0])
    best, rounds = held_out.error(matrix), 0
    for number in range(1, ROUNDS + 1):
        matrix = regress(fit.cross(matrix))
        error = held_out.error(matrix)
        if error < best:
            best, rounds = error, number
    if rounds == 0:
        return linear
    everything = moments[0].plus(moments[1])
    regress = _Ridge(everything, start, linear.strength)
    matrix = regress(everything.cross[0])
    for _ in range(rounds):
        matrix = regress(fit.cross(matrix) + held_out.cross(matrix))
    report = replace(
        linear.report,
        before=held_out.error(start),
        after=best,
        reason=f"{linear.report.reason}, through Relu",
    )
    return replace(linear, affine=(matrix[None, :, :-1], matrix[None, :, -1]), report=report)


class _Ridge:
    """The ridge regression toward `prior` of whatever is wanted of the same inputs."""

    def __init__(self, moments: Moments, prior: Matrix, strength: float) -> None:
        gram = moments.gram[0]
        pull = strength * float(np.trace(gram)) / len(gram)
        self._factor = linalg.cho_factor(gram + pull * np.eye(len(gram)))
        self._pulled = pull * prior

    def __call__(self, cross: Matrix) -> Matrix:
        fitted: Matrix = linalg.cho_solve(self._factor, (cross + self._pulled).T).T
        return fitted
