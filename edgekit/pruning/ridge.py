"""Ridge regression toward given weights, from second moments alone.

Fitted to inputs x and targets y is the affine map y ~ W x + b, by least

    sum |W x + b - y|^2 + L (|W - W0|^2 + |b - b0|^2),    L = strength * mean(diag G)

All that is needed of the data are G = X X' and R = Y X', where a row of ones is the last of X:

    [W b] (G + L I) = R + L [W0 b0]

The penalty pulls toward what is already known, so directions without evidence stay as they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg

Matrix = npt.NDArray[np.float64]

STRENGTH = 1e-3


def solve(
    gram: Matrix,
    cross: Matrix,
    weight: npt.NDArray[np.floating],
    bias: npt.NDArray[np.floating],
    strength: float = STRENGTH,
) -> tuple[Matrix, Matrix]:
    """Return the weights and the bias of the ridge regression toward the given ones.

    Args:
        gram: X X', shape (n + 1, n + 1); the last row of X is ones.
        cross: Y X', shape (outputs, n + 1).
        weight: what is pulled toward, shape (outputs, n).
        bias: as `weight`, shape (outputs,).
        strength: of the pull, in means of the diagonal of `gram`; > 0.

    Returns:
        The weights, shape (outputs, n), and the bias, shape (outputs,). What was given, where the
        inputs are all zero.

    Source: Hoerl and Kennard 1970, with the prior mean moved from 0 to the given weights.
    """
    prior = joined(weight, bias)
    pull = strength * float(np.trace(gram)) / len(gram)
    if pull <= 0:
        return prior[:, :-1], prior[:, -1]
    system = gram + pull * np.eye(len(gram))
    fitted: Matrix = linalg.solve(system, (cross + pull * prior).T, assume_a="pos").T
    return fitted[:, :-1], fitted[:, -1]


def shifted(
    gram: Matrix,
    cross: Matrix,
    weight: npt.NDArray[np.floating],
) -> Matrix:
    """Return the bias, shape (outputs,), that is best when the weights stay as they are.

    Args:
        gram: as of `solve`; its last entry is the number of columns of X, > 0.
        cross: as of `solve`.
        weight: shape (outputs, n).
    """
    total: Matrix = cross[:, -1] - weight.astype(np.float64) @ gram[:-1, -1]
    return total / float(gram[-1, -1])


def squared_error(
    gram: Matrix,
    cross: Matrix,
    energy: npt.NDArray[np.float64] | float,
    weight: npt.NDArray[np.floating],
    bias: npt.NDArray[np.floating],
) -> Matrix:
    """Return sum (W x + b - y)^2 of each output, shape (outputs,), from second moments.

    Args:
        gram: as of `solve`.
        cross: as of `solve`.
        energy: sum y^2 of each output, shape (outputs,).
        weight: shape (outputs, n).
        bias: shape (outputs,).
    """
    both = joined(weight, bias)
    rest: Matrix = ((both @ gram - 2 * cross) * both).sum(axis=1) + energy
    return np.maximum(rest, 0.0)


def joined(weight: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]) -> Matrix:
    """Return `[weight bias]`, shape (outputs, n + 1)."""
    return np.concatenate([weight, bias[:, None]], axis=1, dtype=np.float64)
