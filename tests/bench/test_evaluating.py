import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit import bench
from edgekit.bench import evaluating
from edgekit.errors import DataError


class Rows:
    """A dataset of random rows."""

    source = "rows"

    def __init__(self, number):
        self.rows = np.random.default_rng(0).standard_normal((number, 64)).astype(np.float32)

    def __len__(self):
        return len(self.rows)

    def specs(self):
        return {}

    def samples(self):
        return ({"x": row} for row in self.rows)

    def labels(self):
        return None


def test_every_sample_is_answered_once_whatever_the_shards(device, small, running, monkeypatch):
    data = Rows(23)
    weights = numpy_helper.to_array(onnx.load(small.file).graph.initializer[0])
    for shard_bytes in (1, 5 * 64 * 4, 1 << 20):
        monkeypatch.setattr(evaluating, "_SHARD_BYTES", shard_bytes)
        told = []
        (found,) = bench.evaluate(
            device,
            small.file,
            data,
            target=running.target,
            batch=4,
            progress=lambda done, total, told=told: told.append((done, total)),
        )
        np.testing.assert_allclose(found, data.rows @ weights, rtol=1e-4, atol=1e-5)
        assert told[-1] == (23, 23)


def test_no_samples_are_an_error(device, small, running):
    with pytest.raises(DataError, match="no samples"):
        bench.evaluate(device, small.file, Rows(0), target=running.target)
