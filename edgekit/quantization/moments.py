"""Second moments of what a layer reads and should write, and what they say of any weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(slots=True, kw_only=True)
class Moments:
    """Sums over positions; their size does not depend on how many there are.

    Attributes:
        xx: X'X, float64, shape (groups, columns + 1, columns + 1); the last column of X is ones.
        yx: Y'X, shape (groups, rows, columns + 1).
        yy: squares of Y, shape (groups, rows).
        count: positions.
    """

    xx: Doubles
    yx: Doubles
    yy: Doubles
    count: int = 0

    @classmethod
    def empty(cls, groups: int, rows: int, columns: int) -> Moments:
        """Return the moments of nothing."""
        return cls(
            xx=np.zeros((groups, columns + 1, columns + 1)),
            yx=np.zeros((groups, rows, columns + 1)),
            yy=np.zeros((groups, rows)),
        )

    def add(self, x: Floats, y: Floats) -> None:
        """Take in positions.

        Args:
            x: what was read, shape (groups, positions, columns).
            y: what should be written, shape (positions, groups * rows).
        """
        ones = np.ones((*x.shape[:-1], 1), np.float32)
        rows = np.concatenate([x, ones], axis=-1)
        parts = y.reshape(len(y), x.shape[0], -1).transpose(1, 2, 0)
        self.xx += rows.transpose(0, 2, 1) @ rows
        self.yx += parts @ rows
        self.yy += np.square(parts, dtype=np.float64).sum(axis=-1)
        self.count += len(y)

    def error(self, weight: Doubles, bias: Doubles) -> float:
        """Return the mean square of W x + b - y over positions, summed over outputs.

        Args:
            weight: shape (groups, rows, columns).
            bias: shape (groups, rows).
        """
        full = np.concatenate([weight, bias[..., None]], axis=-1)
        square = ((full @ self.xx) * full).sum() - 2 * (full * self.yx).sum() + self.yy.sum()
        return float(max(square, 0.0)) / max(self.count, 1)

    def best_bias(self, weight: Doubles) -> Doubles:
        """Return the bias that makes the mean output right, shape (groups, rows)."""
        mean: Doubles = self.yx[..., -1] - (weight @ self.xx[..., :-1, -1:])[..., 0]
        return mean / max(self.count, 1)

    def centred(self, bias: Doubles | None) -> tuple[Doubles, Doubles]:
        """Return (second moments of x, cross moments of y and x), means over positions.

        Args:
            bias: that stays as it is; None where the best one will be taken, and then only what
                varies counts.

        Returns:
            shapes (groups, columns, columns) and (groups, rows, columns).
        """
        count = max(self.count, 1)
        xx, yx = self.xx[..., :-1, :-1] / count, self.yx[..., :-1] / count
        mean = self.xx[..., -1:, :-1] / count
        if bias is not None:
            return xx, yx - bias[..., None] * mean
        return xx - mean.transpose(0, 2, 1) * mean, yx - self.yx[..., -1:] / count * mean
