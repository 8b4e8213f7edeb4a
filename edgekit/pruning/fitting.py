"""The best weights of one layer: as sliced, with another bias, or fitted; held-out data decide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.pruning.ridge import Matrix, shifted, solve, squared_error

Affine = tuple[Matrix, Matrix]
"""Weight, shape (groups, outputs of a group, columns - 1), and bias, shape (groups, outputs)."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_EXACT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFit:
    """What became of one layer.

    Attributes:
        before: share of the target's variance that the sliced weights miss on held-out data.
        after: as `before`, of the weights that were taken.
        accepted: the weights were changed.
        reason: what was taken, or why nothing was changed.
    """

    node: str
    before: float
    after: float
    accepted: bool
    reason: str

    @property
    def exact(self) -> bool:
        """The sliced weights already make what they should."""
        return self.before <= _EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What to take.

    Attributes:
        strength: of the ridge regression that it is; None where it is none.
    """

    affine: Affine
    report: LayerFit
    strength: float | None = None


@dataclass(slots=True, kw_only=True)
class Moments:
    """Sums over positions, of what a layer reads (x, then 1) and what it should make (y).

    Attributes:
        gram: X X', shape (groups, columns, columns).
        cross: Y X', shape (groups, outputs of a group, columns).
        energy: sum of y^2, shape (groups, outputs of a group).
    """

    gram: Matrix
    cross: Matrix
    energy: Matrix

    @classmethod
    def empty(cls, groups: int, outputs: int, columns: int) -> Moments:
        """Return sums over nothing; `outputs` and `columns` are of one group."""
        return cls(
            gram=np.zeros((groups, columns, columns)),
            cross=np.zeros((groups, outputs, columns)),
            energy=np.zeros((groups, outputs)),
        )

    @property
    def count(self) -> float:
        """How many positions were summed over."""
        return float(self.gram[0, -1, -1])

    def add(self, rows: npt.NDArray[np.float32], wanted: npt.NDArray[Any]) -> None:
        """Add positions.

        Args:
            rows: X', shape (groups, positions, columns), the last column ones.
            wanted: Y', shape (positions, outputs), the groups one after the other.
        """
        y = wanted.astype(np.float32).reshape(len(wanted), len(rows), -1).transpose(1, 2, 0)
        self.gram += rows.transpose(0, 2, 1) @ rows
        self.cross += y @ rows
        self.energy += np.square(y, dtype=np.float64).sum(axis=2)

    def plus(self, other: Moments) -> Moments:
        """Return the sums over both."""
        return Moments(
            gram=self.gram + other.gram,
            cross=self.cross + other.cross,
            energy=self.energy + other.energy,
        )

    def without_bias(self) -> Moments:
        """Return the sums by which the best bias is 0."""
        gram, cross = self.gram.copy(), self.cross.copy()
        gram[:, -1, :-1] = gram[:, :-1, -1] = cross[..., -1] = 0
        return Moments(gram=gram, cross=cross, energy=self.energy)

    def error(self, weight: Matrix, bias: Matrix) -> float:
        """Return the share of the variance of y that an affine map misses; 0 where y is constant.

        Args:
            weight: shape (groups, outputs of a group, columns - 1).
            bias: shape (groups, outputs of a group).
        """
        parts = zip(self.gram, self.cross, self.energy, weight, bias, strict=True)
        missed = sum(float(squared_error(*part).sum()) for part in parts)
        means = self.cross[..., -1] ** 2 / max(self.count, 1.0)
        variance = float((self.energy - means).sum())
        floor = 1e-9 * float(self.energy.sum())
        return missed / max(variance, floor) if self.energy.any() else missed


def best_fit(
    node: str, fit: Moments, held_out: Moments, weight: Matrix, bias: Matrix, *, shiftable: bool
) -> Fit:
    """Return the weight and bias to take, and what speaks for them.

    The strength of the ridge is the one that is best on held-out data; what is taken is then
    fitted to all data.

    Args:
        node: for the report.
        fit: of the data to fit to.
        held_out: of other data.
        weight: as sliced, shape (groups, outputs of a group, columns - 1).
        bias: as sliced, shape (groups, outputs of a group); zeros where there is none.
        shiftable: the layer has a bias.
    """
    before = held_out.error(weight, bias)
    same = (weight, bias)
    if before <= _EXACT:
        return Fit(affine=same, report=left(node, before, "makes what it should"))
    if not fit.count or not held_out.count:
        return Fit(affine=same, report=left(node, before, "too few samples to hold some out"))
    both = fit.plus(held_out)
    ridges = (fit, both) if shiftable else (fit.without_bias(), both.without_bias())
    errors = {
        strength: held_out.error(*_solved(ridges[0], weight, bias, strength))
        for strength in STRENGTHS
    }
    strength = min(errors, key=errors.__getitem__)
    shift = held_out.error(weight, _shifted(fit, weight)) if shiftable else math.inf
    best = min(errors[strength], shift)
    if not best < before:
        return Fit(affine=same, report=left(node, before, "no fit is better on held-out data"))
    reason = "bias" if best == shift else f"ridge {strength:g}"
    report = LayerFit(node=node, before=before, after=best, accepted=True, reason=reason)
    if best == shift:
        return Fit(affine=(weight, _shifted(both, weight)), report=report)
    affine = _solved(ridges[1], weight, bias, strength)
    return Fit(affine=affine, report=report, strength=strength)


def left(node: str, error: float, reason: str) -> LayerFit:
    """Return the report of a layer that stays as it is."""
    return LayerFit(node=node, before=error, after=error, accepted=False, reason=reason)


def _solved(moments: Moments, weight: Matrix, bias: Matrix, strength: float) -> Affine:
    parts = zip(moments.gram, moments.cross, weight, bias, strict=True)
    weights, biases = zip(*(solve(*part, strength) for part in parts), strict=True)
    return np.stack(weights), np.stack(biases)


def _shifted(moments: Moments, weight: Matrix) -> Matrix:
    parts = zip(moments.gram, moments.cross, weight, strict=True)
    return np.stack([shifted(*part) for part in parts])
