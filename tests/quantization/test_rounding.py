import numpy as np
import pytest

from edgekit.layerwise.responses import Response
from edgekit.quantization.grid import quantized_weight
from edgekit.quantization.rounding import rounded, scales_of, toward
from edgekit.quantization.rows import Rows

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
def rows(layer):
    y = layer[3].reshape(800, GROUPS, ROWS).transpose(1, 0, 2)
    return Rows(x=layer[2], y=np.ascontiguousarray(y), response=None)


def error(layer, weight, bias):
    found = np.einsum("gpc,grc->pgr", layer[2], weight) + bias
    return float(np.square(found.reshape(800, -1) - layer[3]).sum(axis=1).mean())


def test_the_error_of_any_weight(layer, rows):
    other = layer[0] + 0.1
    assert rows.error(other, layer[1]) == pytest.approx(error(layer, other, layer[1]), rel=1e-4)


def test_the_best_bias_makes_means_right(layer, rows):
    other = layer[0] * 0.9
    bias = rows.best_bias(other, layer[1])
    made = np.einsum("gpc,grc->pgr", layer[2], other) + bias
    assert made.mean(axis=0) == pytest.approx(
        layer[3].reshape(800, GROUPS, ROWS).mean(axis=0), abs=1e-3
    )


@pytest.mark.parametrize("operator", ["Relu", "HardSwish"])
def test_a_bias_is_right_where_the_activation_lets_it_through(operator):
    """Where sums lie far below zero a miss of 3 costs nothing; the mean would take it in."""
    rng = np.random.default_rng(3)
    x = np.where(rng.random((1, 600, 1)) < 0.8, -20, 4).astype("f4")
    x += 0.1 * rng.standard_normal(x.shape).astype("f4")
    y = np.where(x < 0, x + 3, x - 0.25).astype("f4")
    rows = Rows(x=x, y=y, response=Response(operator=operator))
    weight, bias = np.ones((1, 1, 1)), np.zeros((1, 1))
    found = rows.best_bias(weight, bias)
    assert found == pytest.approx(-0.25, abs=0.01)
    assert rows.error(weight, found) < 0.01 * rows.error(weight, bias)
    free = Rows(x=x, y=y, response=None)
    assert rows.error(weight, free.best_bias(weight, bias)) > rows.error(weight, bias)


def nearest(weight, bits):
    flat = quantized_weight(
        weight.reshape(-1, COLUMNS).astype("f4"), 0, per_channel=True, bits=bits
    )
    return flat.floats().reshape(weight.shape)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_by_output_loses_much_less_than_to_the_nearest(layer, rows, bits):
    weight, bias = layer[:2]
    second, cross = rows.moments(rows.y, None)
    wanted = toward(weight, second, cross)
    scales = scales_of(wanted, second, bits)
    integers = rounded(wanted, second, scales, bits)
    limit = 2 ** (bits - 1) - 1
    assert np.abs(integers).max() <= limit
    real = integers * scales[..., None]
    plain = nearest(weight, bits)
    lost = error(layer, real, rows.best_bias(real, bias))
    assert lost < 0.6 * error(layer, plain, rows.best_bias(plain, bias))


def test_a_bias_that_stays_is_reckoned_with(layer, rows):
    weight, bias = layer[:2]
    second, cross = rows.moments(rows.y, bias)
    found = toward(weight * 0.5, second, cross)
    assert error(layer, found, bias) < 0.01 * error(layer, weight * 0.5, bias)


def test_dead_inputs_do_no_harm():
    weight = np.ones((1, 3, 4))
    second = np.zeros((1, 4, 4))
    integers = rounded(weight, second, np.full((1, 3), 1 / 7), 4)
    assert np.array_equal(integers, np.full((1, 3, 4), 7))
