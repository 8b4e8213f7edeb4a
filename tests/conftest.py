"""Fixtures that several areas share."""

import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A job in the background of a shell ignores Ctrl-C, and its children would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def small_cnn() -> onnx.ModelProto:
    """Two convolutions and a classifier over 3x16x16 images; batch axis dynamic."""
    rng = np.random.default_rng(0)

    def weight(name, *shape):
        scale = (2.0 / np.prod(shape[1:])) ** 0.5
        return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype("f4"), name)

    weights = [
        weight("w1", 16, 3, 3, 3),
        weight("b1", 16),
        weight("w2", 32, 16, 3, 3),
        weight("b2", 32),
        weight("w3", 10, 32),
        weight("b3", 10),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small_cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="edgekit"
    )


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the small network's file; do not change it."""
    path = tmp_path_factory.mktemp("small") / "model.onnx"
    onnx.save(small_cnn(), path)
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of 96 samples for the small network, with labels."""
    path = tmp_path_factory.mktemp("small") / "data.npz"
    rng = np.random.default_rng(1)
    x = rng.standard_normal((96, 3, 16, 16)).astype("f4")
    np.savez(path, x=x, label=rng.integers(0, 10, 96))
    return path
