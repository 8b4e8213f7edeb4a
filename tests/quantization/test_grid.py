import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import target as targets
from edgekit.quantization.grid import grid_of, quantized_bias, quantized_weight
from edgekit.quantization.ranges import Range

ENDS = st.floats(0, 1e6)


@given(ENDS, ENDS, st.sampled_from(["x86", "arm-cpu", "jetson"]))
def test_zero_is_on_every_grid_and_errors_stay_within_half_a_step(low, high, name):
    form = targets.load(name).quantized
    span = Range(low=-low, high=high, method="min-max", error=0.0)
    grid = grid_of(span, form)
    assert grid.scale >= np.finfo(np.float32).tiny
    limits = np.iinfo(grid.zero_point.dtype)
    values = np.linspace(-low, high, 33)
    levels = np.clip(np.round(values / grid.scale) + int(grid.zero_point), limits.min, limits.max)
    found = (levels - int(grid.zero_point)) * float(grid.scale)
    assert np.abs(found - values).max() <= float(grid.scale) * 1.01
    assert grid.span[0] <= 0 <= grid.span[1]


@given(st.integers(0, 1000))
def test_weights_round_within_half_a_step(seed):
    weight = np.random.default_rng(seed).standard_normal((4, 3, 2)).astype("f4")
    found = quantized_weight(weight, 0, per_channel=True)
    error = np.abs(found.integers * found.scales.reshape(-1, 1, 1) - weight)
    assert np.all(error <= found.scales.reshape(-1, 1, 1) * 0.5001)


def test_a_dead_channel_still_carries_its_bias():
    weight = np.zeros((2, 3), np.float32)
    weight[1] = 1.0
    bias = np.array([5.0, -2.0], np.float32)
    scale = np.float32(0.01)
    found = quantized_weight(weight, 0, per_channel=True, bias=bias, input_scale=scale)
    product = found.scales * scale
    assert quantized_bias(bias, product) * product.astype("f8") == pytest.approx(bias, rel=1e-6)


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_huge_bias_on_a_tiny_scale_fits_int32(per_channel):
    weight = np.full((2, 3), 1e-6, np.float32)
    bias = np.array([1e5, 1.0], np.float32)
    scale = np.float32(1e-6)
    found = quantized_weight(weight, 0, per_channel=per_channel, bias=bias, input_scale=scale)
    product = np.atleast_1d(found.scales * scale)
    integers = quantized_bias(bias, product)
    assert np.abs(integers.astype(np.int64)).max() <= 2**31 - 1
    assert integers[0] * float(product[0]) == pytest.approx(1e5, rel=1e-4)
