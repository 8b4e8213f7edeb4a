import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.quantization.histogram import BINS, Histogram
from edgekit.quantization.observation import step_of

FLOATS = hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e4, 1e4, width=32))


def histogram(values):
    found = Histogram.empty()
    found.count(values)
    found.low, found.high = float(values.min()), float(values.max())
    found.settle()
    return found


@given(FLOATS, st.integers(0, 200))
def test_any_split_merges_to_the_same_counts(values, at):
    at = min(at, len(values) - 1)
    whole = histogram(values)
    parts = [histogram(part) for part in (values[at:], values[:at]) if len(part)]
    merged = parts[0] if len(parts) == 1 else parts[0].merged(parts[1])
    assert np.array_equal(whole.counts, merged.counts)
    assert (whole.low, whole.high) == (merged.low, merged.high)


@given(FLOATS)
def test_every_element_is_counted_once(values):
    found = histogram(values)
    assert found.counts.shape == (BINS,)
    assert found.counts.sum() == len(values)


@given(FLOATS)
def test_points_stand_for_the_data(values):
    points, weights = histogram(values).points()
    assert weights.sum() == pytest.approx(len(values))
    assert points.min() >= values.min()
    assert points.max() <= values.max()
    mean = float(np.dot(points, weights) / weights.sum())
    spread = float(np.abs(values).mean()) / 32 + 2.0**-24
    assert mean == pytest.approx(float(values.astype("f8").mean()), abs=spread)


def test_many_small_parts_are_the_same_as_one():
    values = np.random.default_rng(0).standard_normal(200_000).astype("f4")
    found = Histogram.empty()
    for part in np.array_split(values, 100):
        found.count(part)
    found.settle()
    assert np.array_equal(found.counts, histogram(values).counts)
    assert not found.pending


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_the_stride_falls_on_no_axis(shape):
    step = step_of(tuple(shape))
    assert all(math.gcd(step, axis) == 1 for axis in shape)
    assert math.prod(shape) // step < 6 * 2048
