"""The best weights of one layer: as sliced, with another bias, or fitted; held-out data decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.pruning.ridge import Matrix, shifted, solve, squared_error

Affine = tuple[Matrix, Matrix]
"""Weight, shape (groups, outputs of a group, columns - 1), and bias, shape (groups, outputs)."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_EXACT = 1e-9


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
        means = self.cross[..., -1] ** 2 / self.count
        variance = float((self.energy - means).sum())
        floor = 1e-9 * float(self.energy.sum())
        return missed / max(variance, floor) if self.energy.any() else missed


def best_fit(
    node: str, fit: Moments, held_out: Moments, weight: Matrix, bias: Matrix, *, shiftable: bool
) -> tuple[Matrix, Matrix, LayerFit]:
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
    if before <= _EXACT:
        return weight, bias, left(node, before, "makes what it should")
    ridge = fit if shiftable else fit.without_bias()
    candidates = {
        f"ridge {strength:g}": _solved(ridge, weight, bias, strength) for strength in STRENGTHS
    }
    if shiftable:
        candidates["bias"] = (weight, _shifted(fit, weight))
    errors = {name: held_out.error(*candidate) for name, candidate in candidates.items()}
    name = min(errors, key=errors.__getitem__)
    if not errors[name] < before:
        return weight, bias, left(node, before, "fitted weights are no better on held-out data")
    everything = fit.plus(held_out)
    if name == "bias":
        taken = weight, _shifted(everything, weight)
    else:
        everything = everything if shiftable else everything.without_bias()
        taken = _solved(everything, weight, bias, float(name.removeprefix("ridge ")))
    report = LayerFit(node=node, before=before, after=errors[name], accepted=True, reason=name)
    return *taken, report


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
