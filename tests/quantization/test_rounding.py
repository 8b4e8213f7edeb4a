import numpy as np
import pytest

from edgekit.quantization.grid import quantized_weight
from edgekit.quantization.moments import Moments
from edgekit.quantization.rounding import rounded, scales_of, toward

GROUPS, ROWS, COLUMNS = 2, 6, 24


@pytest.fixture
def layer():
    """A weight, correlated inputs of two groups, and what the layer makes of them."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((GROUPS, ROWS, COLUMNS))
    mixing = rng.standard_normal((GROUPS, COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
    x = (rng.standard_normal((GROUPS, 800, COLUMNS)) @ mixing + 0.7).astype("f4")
    bias = rng.standard_normal((GROUPS, ROWS))
    y = np.einsum("gpc,grc->pgr", x, weight) + bias
    return weight, bias, x, y.reshape(800, -1).astype("f4")


@pytest.fixture
def moments(layer):
    found = Moments.empty(GROUPS, ROWS, COLUMNS)
    for at in range(0, 800, 200):
        found.add(layer[2][:, at : at + 200], layer[3][at : at + 200])
    return found


def error(layer, weight, bias):
    found = np.einsum("gpc,grc->pgr", layer[2], weight) + bias
    return float(np.square(found.reshape(800, -1) - layer[3]).sum(axis=1).mean())


def test_moments_foretell_the_error_of_any_weight(layer, moments):
    other = layer[0] + 0.1
    found = moments.error(other, layer[1])
    assert found == pytest.approx(error(layer, other, layer[1]), rel=1e-4)


def test_the_best_bias_makes_means_right(layer, moments):
    other = layer[0] * 0.9
    bias = moments.best_bias(other)
    made = np.einsum("gpc,grc->pgr", layer[2], other) + bias
    assert made.mean(axis=0) == pytest.approx(
        layer[3].reshape(800, GROUPS, ROWS).mean(axis=0), abs=1e-3
    )


def nearest(weight, bits):
    flat = quantized_weight(
        weight.reshape(-1, COLUMNS).astype("f4"), 0, per_channel=True, bits=bits
    )
    return flat.floats().reshape(weight.shape)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_by_output_loses_much_less_than_to_the_nearest(layer, moments, bits):
    weight = layer[0]
    second, cross = moments.centred(None)
    wanted = toward(weight, second, cross)
    scales = scales_of(wanted, second, bits)
    integers = rounded(wanted, second, scales, bits)
    limit = 2 ** (bits - 1) - 1
    assert np.abs(integers).max() <= limit
    real = integers * scales[..., None]
    plain = nearest(weight, bits)
    lost = error(layer, real, moments.best_bias(real))
    assert lost < 0.6 * error(layer, plain, moments.best_bias(plain))


def test_a_bias_that_stays_is_reckoned_with(layer, moments):
    weight, bias = layer[:2]
    second, cross = moments.centred(bias)
    found = toward(weight * 0.5, second, cross)
    assert error(layer, found, bias) < 0.01 * error(layer, weight * 0.5, bias)


def test_dead_inputs_do_no_harm():
    weight = np.ones((1, 3, 4))
    second = np.zeros((1, 4, 4))
    integers = rounded(weight, second, np.full((1, 3), 1 / 7), 4)
    assert np.array_equal(integers, np.full((1, 3, 4), 7))
