"""Bases of a head's width in which its last components matter least.

Scores. Any invertible T gives q k' = (q T') (T^-1' k)' , head by head. With second moments
E[q q'] = Q'Q and E[k k'] = K'K (Q, K upper triangular) and Q K' = U S V',

    Tq = S^1/2 U' Q^-T,    Tk = S^1/2 V' K^-T,    Tq' Tk = Q^-1 U S V' K^-T = 1,

so the scores stay, and E[q_d^2] = E[k_d^2] = S_d: leaving out component d changes the scores by
S_d^2 in the mean square over independent queries and keys, and no other basis has a smaller
change. A softmax over the keys does not see what is added to all of them, so there k is taken
without its mean.

Context. With E[c c'] = L L' of a head's context and O L = U S V' for its part of the output
projection, P = V' L^-1 on the values and O P^-1 = O L V on the output give the same sum, and
leaving out component d changes it by S_d^2.

Source: the singular value decomposition weighted by activations of Wang et al. 2024 (SVD-LLM, with
its whitening by a Cholesky factor), applied to the two products of matrices within a head.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from edgekit.pruning.projections import Reals

_RIDGE = 1e-6
"""Of the mean square of a head's components: what a component without any is taken to have."""
_LEAST = 1e-12


def scores_basis(queries: Reals, keys: Reals) -> tuple[Reals, Reals, Reals]:
    """Return Tq, Tk and S of the second moments of one head's queries and keys."""
    one, other = _factor(queries).T, _factor(keys).T
    u, s, vt = np.linalg.svd(one @ other.T)
    root = np.sqrt(s)
    return (
        root[:, None] * solve_triangular(one, u, lower=False).T,
        root[:, None] * solve_triangular(other, vt.T, lower=False).T,
        s,
    )


def context_basis(context: Reals, weight: Reals) -> tuple[Reals, Reals, Reals]:
    """Return P, P^-T and S of one head's second moments and its rows of the output weight."""
    factor = _factor(context)
    half = factor.T @ weight
    squares, v = np.linalg.eigh(half @ half.T)
    squares, v = squares[::-1].clip(0), v[:, ::-1]
    turn = solve_triangular(factor, v, lower=True, trans="T").T
    return turn, v.T @ factor.T, np.sqrt(squares)


def _factor(moment: Reals) -> Reals:
    """Return the lower Cholesky factor of a moment with a small ridge."""
    ridge = max(_RIDGE * float(np.diagonal(moment).mean()), _LEAST)
    factor = np.linalg.cholesky(moment + ridge * np.eye(len(moment)))
    return np.asarray(factor, np.float64)
