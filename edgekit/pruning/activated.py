"""Fits through an activation h: what h makes of a sum is wanted, not the sum itself.

Sought is the least sum of (h(p) - h(y))^2, where p = W x + b + skip and y is the dense sum. In
each round that is taken for a sum of squares (p - t)^2 around the p of the last one. Where h is a
Relu the targets are

    t = y             where y > 0
    t = min(p, 0)     elsewhere

which bounds what is sought, and equals it at that p; else

    t = p + min(1, s^2 / c) (y - p),    s = (h(p) - h(y)) / (p - y)

which weighs each miss by the slope of h across it; c is twice the mean of s^2 of an output. All
rounds have the same Gram matrix, and the round that is best on held-out data is taken.

Source: Zhang et al. 2015 (Accelerating Very Deep Convolutional Networks), section 3.2, who part
the rectifier from the fit by a penalty; Hunter and Lange 2004 for the bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from edgekit.layerwise.responses import RELU, Response
from edgekit.pruning.fitting import Affine, Fit, Moments
from edgekit.pruning.ridge import Matrix

Array = npt.NDArray[Any]

ROUNDS = 8
_SAME = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a layer reads and should make at some positions, float32.

    Attributes:
        x: shape (groups, positions, columns), the last column ones.
        y: the dense sum, shape (positions, outputs), the groups one after the other.
        skip: what the pruned network adds, shape (positions, outputs); None for nothing.
        response: h.
    """

    x: Array
    y: Array
    skip: Array | None
    response: Response

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """Return the positions of all parts."""
        skips = [part.skip for part in parts if part.skip is not None]
        return cls(
            x=np.concatenate([part.x for part in parts], axis=1),
            y=np.concatenate([part.y for part in parts]),
            skip=np.concatenate(skips) if skips else None,
            response=parts[0].response,
        )

    def sums(self, affine: Affine) -> Array:
        """Return p, shape (positions, outputs)."""
        matrix = np.concatenate([affine[0], affine[1][..., None]], axis=-1, dtype=np.float32)
        made: Array = (self.x @ matrix.transpose(0, 2, 1)).transpose(1, 0, 2)
        made = made.reshape(self.y.shape)
        return made if self.skip is None else made + self.skip

    def error(self, affine: Affine) -> float:
        """Return the share of the variance of h(y) that h(p) misses."""
        wanted = self.response(self.y)
        missed = np.square(self.response(self.sums(affine)) - wanted, dtype=np.float64).sum()
        spread = np.square(wanted - wanted.mean(axis=0), dtype=np.float64).sum()
        return float(missed / spread) if spread > 0 else float(missed)

    def cross(self, affine: Affine) -> Matrix:
        """Return (t - skip) X' around the p of these weights, shape as of `Moments.cross`."""
        targets = self._targets(self.sums(affine))
        if self.skip is not None:
            targets = targets - self.skip
        parts = targets.reshape(len(targets), len(self.x), -1).transpose(1, 2, 0)
        return (parts @ self.x).astype(np.float64)

    def _targets(self, sums: Array) -> Array:
        if self.response == RELU:
            return np.where(self.y > 0, self.y, np.minimum(sums, 0))
        missed = self.y - sums
        apart = np.abs(missed) > _SAME
        made = self.response(self.y) - self.response(sums)
        slope = np.where(apart, made / np.where(apart, missed, 1), 0)
        square = slope * slope
        usual = np.maximum(2 * square.mean(axis=0), np.finfo(square.dtype).tiny)
        targets: Array = sums + np.minimum(square / usual, 1) * missed
        return targets


def through_activation(
    rows: tuple[Rows, Rows], moments: tuple[Moments, Moments], prior: Affine, linear: Fit
) -> Fit:
    """Return what to take: the weights of the round that is best on held-out data.

    Args:
        rows: to fit to, and held out.
        moments: of the same rows, with y less the skip as what is wanted.
        prior: what is pulled toward.
        linear: the fit to y itself, taken if no round is better or if it is no ridge regression.
    """
    if linear.strength is None:
        return linear
    fit, held_out = rows
    regress = _Ridge(moments[0], prior, linear.strength)
    affine = regress(moments[0].cross)
    best, rounds = held_out.error(affine), 0
    for number in range(1, ROUNDS + 1):
        affine = regress(fit.cross(affine))
        error = held_out.error(affine)
        if error < best:
            best, rounds = error, number
    if rounds == 0:
        return linear
    everything = moments[0].plus(moments[1])
    regress = _Ridge(everything, prior, linear.strength)
    affine = regress(everything.cross)
    for _ in range(rounds):
        affine = regress(fit.cross(affine) + held_out.cross(affine))
    report = replace(
        linear.report,
        before=held_out.error(prior),
        after=best,
        reason=f"{linear.report.reason}, through {fit.response.operator}",
    )
    return replace(linear, affine=affine, report=report)


class _Ridge:
    """The ridge regressions toward `prior` of whatever is wanted of the same inputs."""

    def __init__(self, moments: Moments, prior: Affine, strength: float) -> None:
        self._solvers = []
        for gram, weight, bias in zip(moments.gram, *prior, strict=True):
            pull = strength * float(np.trace(gram)) / len(gram)
            factor = linalg.cho_factor(gram + pull * np.eye(len(gram)))
            self._solvers.append((factor, pull * np.concatenate([weight, bias[:, None]], axis=1)))

    def __call__(self, cross: Matrix) -> Affine:
        found = np.stack(
            [
                linalg.cho_solve(factor, (part + pulled).T).T
                for (factor, pulled), part in zip(self._solvers, cross, strict=True)
            ]
        )
        return found[..., :-1], found[..., -1]
