import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.pruning.ridge import shifted, solve, squared_error


def moments(x, y):
    x = np.concatenate([x, np.ones((1, x.shape[1]))])
    return x @ x.T, y @ x.T, (y**2).sum(axis=1)


def problem(seed, n=6, outputs=3, samples=50):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, samples))
    weight, bias = generator.standard_normal((outputs, n)), generator.standard_normal(outputs)
    return x, weight, bias


def test_a_map_that_fits_is_found():
    x, weight, bias = problem(0)
    gram, cross, _ = moments(x, weight @ x + bias[:, None])
    found = solve(gram, cross, np.zeros_like(weight), np.zeros_like(bias), 1e-9)
    np.testing.assert_allclose(found[0], weight, atol=1e-6)
    np.testing.assert_allclose(found[1], bias, atol=1e-6)


def test_a_strong_pull_keeps_what_was_given():
    x, weight, bias = problem(1)
    gram, cross, _ = moments(x, np.zeros((3, 50)))
    found = solve(gram, cross, weight, bias, 1e9)
    np.testing.assert_allclose(found[0], weight, rtol=1e-6)
    np.testing.assert_allclose(found[1], bias, rtol=1e-6)


def test_weights_of_inputs_that_are_never_there_stay():
    x, weight, bias = problem(2)
    x[4] = 0
    gram, cross, _ = moments(x, np.ones((3, 50)))
    found, _ = solve(gram, cross, weight, bias)
    np.testing.assert_allclose(found[:, 4], weight[:, 4])


def test_inputs_that_are_all_zero_change_nothing():
    _, weight, bias = problem(3)
    found = solve(np.zeros((7, 7)), np.zeros((3, 7)), weight, bias)
    np.testing.assert_array_equal(found[0], weight)
    np.testing.assert_array_equal(found[1], bias)


def test_fewer_samples_than_columns_are_fitted_without_touching_the_unseen_directions():
    x, weight, bias = problem(4, n=30, samples=5)
    wanted = weight @ x + 2
    gram, cross, _ = moments(x, wanted)
    found, shift = solve(gram, cross, weight, bias, 1e-6)
    np.testing.assert_allclose(found @ x + shift[:, None], wanted, atol=1e-3)
    unseen = np.linalg.svd(x.T)[2][5:]
    np.testing.assert_allclose((found - weight) @ unseen.T, 0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-4, 1e-2, 1.0]))
def test_nothing_near_the_solution_is_better(seed, strength):
    x, weight, bias = problem(seed)
    generator = np.random.default_rng(seed + 1)
    y = generator.standard_normal((3, 50))
    gram, cross, energy = moments(x, y)
    pull = strength * np.trace(gram) / len(gram)

    def loss(w, b):
        apart = ((w - weight) ** 2).sum() + ((b - bias) ** 2).sum()
        return squared_error(gram, cross, energy, w, b).sum() + pull * apart

    best = solve(gram, cross, weight, bias, strength)
    for _ in range(5):
        step = 1e-3 * generator.standard_normal(weight.shape)
        assert loss(*best) <= loss(best[0] + step, best[1] + step[:, 0]) + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_errors_from_moments_are_the_errors(seed):
    x, weight, bias = problem(seed)
    y = np.random.default_rng(seed).standard_normal((3, 50))
    gram, cross, energy = moments(x, y)
    direct = ((weight @ x + bias[:, None] - y) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_error(gram, cross, energy, weight, bias), direct, rtol=1e-8)


def test_the_shift_makes_the_mean_right():
    x, weight, _ = problem(5)
    y = 3 * x[:3] + 4
    gram, cross, _ = moments(x, y)
    bias = shifted(gram, cross, weight)
    np.testing.assert_allclose((weight @ x + bias[:, None] - y).mean(axis=1), 0, atol=1e-12)
