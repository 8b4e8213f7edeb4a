import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.quantization.histogram import Histogram
from edgekit.quantization.ranges import METHODS, Reach, error_of, range_of


def histogram(values):
    found = Histogram.empty()
    found.count(values.astype("f4"))
    found.low, found.high = float(values.min()), float(values.max())
    return found


@pytest.fixture(scope="module")
def tailed():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000)
    values[:3] = (60.0, -45.0, 80.0)
    return values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_each_method_yields_a_range_around_zero(tailed, method, symmetric):
    found = range_of(histogram(tailed), method=method, symmetric=symmetric)
    assert found.low <= 0 <= found.high
    assert found.high > found.low
    assert found.error >= 0


def test_min_max_is_exact(tailed):
    found = range_of(histogram(tailed), method="min-max")
    assert (found.low, found.high) == (-45.0, 80.0)


def test_percentile_and_entropy_clip_a_rare_tail(tailed):
    for method in ("percentile", "entropy"):
        assert range_of(histogram(tailed), method=method).high < 40


@pytest.mark.parametrize("symmetric", [False, True])
def test_auto_has_the_least_error_of_all(tailed, symmetric):
    errors = {
        method: range_of(histogram(tailed), method=method, symmetric=symmetric).error
        for method in METHODS
    }
    assert errors["auto"] == min(errors.values())
    assert errors["auto"] < errors["min-max"]


def test_the_foretold_error_is_the_true_one(tailed):
    found = range_of(histogram(tailed), method="mse")
    scale = (found.high - found.low) / 255
    zero = round(-found.low / scale)
    levels = np.clip(np.round(tailed / scale) + zero, 0, 255)
    true = float(np.mean(((levels - zero) * scale - tailed) ** 2))
    assert found.error == pytest.approx(true, rel=0.1)


def test_values_that_no_consumer_tells_apart_cost_nothing():
    values = np.random.default_rng(1).normal(-8, 4, 50_000)
    free = range_of(histogram(values))
    clipped = range_of(histogram(values), reach=Reach(low=-3.0))
    assert clipped.low >= -3.0
    assert clipped.error < free.error / 2


@given(st.sampled_from([0.0, 1e-30, -1e-9, 1e-7]))
def test_constant_tensors_get_a_usable_range(value):
    found = range_of(histogram(np.full(100, value)))
    assert found.low <= 0 <= found.high
    assert found.high - found.low >= 2.0**-21


def test_no_error_on_the_grid_itself():
    values = np.arange(256.0)
    assert error_of(values, np.ones(256), 0.0, 255.0) == pytest.approx(0.0, abs=1e-20)
