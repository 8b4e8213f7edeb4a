"""What a layer reads and should write at some positions, and which bias or weight is best there.

What counts of a sum p = W x + b is h(p), the activation that alone reads it: where h is flat, as
below zero behind a Relu, no miss costs anything, and a bias that is right on average over such
positions is wrong where it counts. So a miss y - p is weighed by s^2, s being the slope of h
across it: s = (h(p) - h(y)) / (p - y).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.layerwise.responses import Response

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_ROUNDS = 4
_SAME = 1e-6
_FEWEST = 8.0
"""A bias is moved only where the weights add up to so many positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Positions of a layer.

    Attributes:
        x: what it reads, shape (groups, positions, columns).
        y: what it should write, shape (groups, positions, rows).
        response: h; None where the sum itself is read.
    """

    x: Floats
    y: Floats
    response: Response | None

    @property
    def count(self) -> int:
        """How many positions."""
        return int(self.x.shape[1])

    def error(self, weight: Doubles, bias: Doubles) -> float:
        """Return the mean square of h(W x + b) - h(y) over positions, summed over outputs.

        Args:
            weight: shape (groups, rows, columns).
            bias: shape (groups, rows).
        """
        missed = self._of(self._sums(weight, bias)) - self._of(self.y)
        return float(np.square(missed, dtype=np.float64).sum()) / max(self.count, 1)

    def best_bias(self, weight: Doubles, bias: Doubles) -> Doubles:
        """Return the bias with the least error, found from `bias`; shapes as of `error`."""
        found, sums = bias, self._sums(weight, bias)
        for _ in range(_ROUNDS if self.response else 1):
            missed = self.y - sums
            shares = self._shares(sums, missed)
            total = shares.sum(axis=1, dtype=np.float64)
            moved = (shares * missed).sum(axis=1, dtype=np.float64) / np.maximum(total, _FEWEST)
            found, sums = found + moved, sums + moved[:, None, :].astype(np.float32)
        return found

    def wanted(self, weight: Doubles, bias: Doubles) -> Floats:
        """Return what W x + b should be, shape of y: y where it counts, itself where it does not.

        One step of a descent that never raises the error. Source: Hunter and Lange 2004.
        """
        if self.response is None:
            return self.y
        sums = self._sums(weight, bias)
        missed = self.y - sums
        shares = self._shares(sums, missed)
        usual = np.maximum(2 * shares.mean(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        found: Floats = sums + np.minimum(shares / usual, 1) * missed
        return found

    def moments(self, wanted: Floats, bias: Doubles | None) -> tuple[Doubles, Doubles]:
        """Return (second moments of x, cross moments of `wanted` and x), means over positions.

        Args:
            wanted: shape of y.
            bias: that stays as it is; None where the best one will be taken, and then only what
                varies counts.

        Returns:
            shapes (groups, columns, columns) and (groups, rows, columns).
        """
        x = self.x if bias is not None else self.x - self.x.mean(axis=1, keepdims=True)
        shift = wanted.mean(axis=1) if bias is None else bias
        left = wanted - shift[:, None, :].astype(np.float32)
        count = max(self.count, 1)
        second = (x.transpose(0, 2, 1) @ x).astype(np.float64) / count
        cross = (left.transpose(0, 2, 1) @ x).astype(np.float64) / count
        return second, cross

    def _sums(self, weight: Doubles, bias: Doubles) -> Floats:
        sums: Floats = self.x @ weight.transpose(0, 2, 1).astype(np.float32)
        sums += bias[:, None, :].astype(np.float32)
        return sums

    def _of(self, sums: Floats) -> Floats:
        return sums if self.response is None else self.response(sums).astype(np.float32, copy=False)

    def _shares(self, sums: Floats, missed: Floats) -> Floats:
        """Return s^2 of every position and output."""
        if self.response is None:
            return np.ones_like(sums)
        apart = np.abs(missed) > _SAME
        made = self._of(self.y) - self._of(sums)
        slope: Floats = np.where(apart, made / np.where(apart, missed, 1), 0)
        return slope * slope
