"""A device that computes one operator wrong is found out by the first tensor that shows it."""

import numpy as np
import onnx
import pytest

from edgekit import graph
from edgekit.bench import divergence
from edgekit.bench.divergence import first_difference


class Rows:
    source = "rows"

    def __init__(self, number=6):
        self.rows = np.random.default_rng(0).standard_normal((number, 3, 16, 16)).astype("f4")

    def __len__(self):
        return len(self.rows)

    def specs(self):
        return {}

    def samples(self):
        return ({"x": row} for row in self.rows)

    def labels(self):
        return None


@pytest.fixture
def wrong(monkeypatch):
    """`host` is right; what runs on `device` has another weight in the node that is named."""

    def plant(weight, factor):
        real = divergence.evaluate

        def evaluate(device, file, data, *, target):
            if device == "device":
                model = onnx.load(file)
                for tensor in model.graph.initializer:
                    if tensor.name == weight:
                        array = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
                        tensor.CopyFrom(onnx.numpy_helper.from_array(array, weight))
                onnx.save(model, file.with_name("wrong.onnx"))
                file = file.with_name("wrong.onnx")
            return real(local, file, data, target=target)

        monkeypatch.setattr(divergence, "evaluate", evaluate)

    local = None

    def use(device):
        nonlocal local
        local = device
        return plant

    return use


@pytest.mark.parametrize("planted", [("w1", "conv1"), ("w2", "conv2"), ("b3", "head")])
def test_the_first_tensor_that_differs(device, running, small_model, wrong, planted):
    weight, node = planted
    wrong(device)(weight, 1.5)
    found = first_difference(
        "host", "device", graph.load(small_model), Rows(), target=running.target
    )
    assert found.node == node
    assert found.difference > 0.01


def test_what_is_within_the_tolerance_is_no_difference(device, running, small_model, wrong):
    wrong(device)("w1", 1.001)
    model, told = graph.load(small_model), []
    found = first_difference(
        "host",
        "device",
        model,
        Rows(2),
        target=running.target,
        progress=lambda *done: told.append(done),
    )
    assert found is None
    assert told[-1][0] == told[-1][1] == 7
    assert (
        first_difference(
            "host", "device", model, Rows(2), target=running.target, tolerance=1e-5
        ).node
        == "conv1"
    )


def test_differences():
    one = np.array([1.0, -4.0], "f4")
    assert divergence._difference(one, one) == 0
    assert divergence._difference(one, one + np.float32(0.4)) == pytest.approx(0.1)
    assert divergence._difference(one, one[:1]) == np.inf
    assert divergence._difference(one, np.array([1.0, np.nan], "f4")) == np.inf
