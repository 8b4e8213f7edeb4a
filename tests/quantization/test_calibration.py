import numpy as np
import pytest

from edgekit.errors import CalibrationError
from edgekit.quantization import plan_of
from edgekit.quantization.calibration import PROBES, Calibration


def figures(plan):
    ranges = {name: (r.low, r.high, r.method, r.error) for name, r in plan.ranges.items()}
    return ranges, {name: mean.tobytes() for name, mean in plan.means.items()}


def test_order_and_sharding_change_no_bit(residual, rows, seen, calibrate):
    turned = calibrate(residual, type(rows)(rows.x[::-1].copy()))
    parts = [calibrate(residual, type(rows)(part)) for part in np.array_split(rows.x, 3)]
    merged = parts[2].merged(parts[0]).merged(parts[1])
    wanted = figures(plan_of(residual.ir.graph, seen))
    for other in (turned, merged):
        assert figures(plan_of(residual.ir.graph, other)) == wanted
        assert [probe.digest for probe in other.probes] == [p.digest for p in seen.probes]


def test_extremes_are_those_of_every_element(rows, seen):
    assert seen.histograms["x"].low == rows.x.min()
    assert seen.histograms["x"].high == rows.x.max()
    assert seen.histograms["x"].size == rows.x[0].size


def test_channel_means_are_those_of_the_data(rows, seen):
    assert seen.mean_of("x") == pytest.approx(rows.x.mean(axis=(0, 2, 3)), abs=1e-5)


def test_state_does_not_grow_with_the_samples(residual, rows, seen, calibrate):
    more = calibrate(residual, type(rows)(np.concatenate([rows.x] * 4)))
    assert more.samples == 4 * seen.samples
    assert more.histograms.keys() == seen.histograms.keys()
    assert len(more.probes) <= PROBES


def test_large_samples_are_kept_as_fewer_probes():
    seen = Calibration()
    for index in range(6):
        seen.begin({"x": np.full(3 << 20, index, np.float32)})
    assert len(seen.probes) == 2


def test_an_infinite_activation_is_named(residual, rows, calibrate):
    x = rows.x[:2].copy()
    x[0] = np.finfo(np.float32).max
    with pytest.raises(CalibrationError, match="an activation is not finite"):
        calibrate(residual, type(rows)(x))
