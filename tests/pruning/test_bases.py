"""Bases of a head are exact, and their components come in order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.pruning.bases import context_basis, scores_basis


def moment(rng, width, rank):
    rows = rng.standard_normal((rank, width))
    return rows.T @ rows


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_bases_are_exact_and_ordered(seed, width, outputs):
    rng = np.random.default_rng(seed)
    queries, keys = (moment(rng, width, 2 * width) for _ in range(2))
    left, right, singular = scores_basis(queries, keys)
    np.testing.assert_allclose(left.T @ right, np.eye(width), atol=1e-6)
    np.testing.assert_allclose(np.diag(left @ queries @ left.T), singular, rtol=1e-3, atol=1e-4)
    assert (np.diff(singular) <= 1e-9).all()

    weight = rng.standard_normal((width, outputs))
    turn, back, lost = context_basis(keys, weight)
    np.testing.assert_allclose(turn.T @ back, np.eye(width), atol=1e-6)
    energy = np.diag(turn @ keys @ turn.T) * ((back @ weight) ** 2).sum(axis=1)
    np.testing.assert_allclose(energy, lost**2, rtol=1e-3, atol=1e-3 * energy.max())
