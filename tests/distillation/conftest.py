"""Small networks that teach and learn, and images to do it with."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native
from edgekit.activations import outputs_of
from edgekit.dataset import open_data
from edgekit.graph import Model


def network(width, seed, *, inputs="x", output="logits", classes=5, probabilities=False):
    """Two convolutions over images of 16x16, and a classifier."""
    rng = np.random.default_rng(seed)

    def weight(name, *shape):
        values = rng.standard_normal(shape) * (4 / np.prod(shape[1:])) ** 0.5
        return numpy_helper.from_array(values.astype("f4"), name)

    weights = [
        weight("w1", width, 1, 3, 3),
        weight("b1", width),
        weight("w2", width, width, 3, 3),
        weight("b2", width),
        weight("w3", classes, width),
        weight("b3", classes),
    ]
    stride, pads = {"strides": [2, 2]}, {"pads": [1, 1, 1, 1]}
    last = "scores" if probabilities else output
    nodes = [
        helper.make_node("Conv", [inputs, "w1", "b1"], ["c1"], "conv1", **stride, **pads),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", **stride, **pads),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalMaxPool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], [last], "head", transB=1),
    ]
    if probabilities:
        nodes.append(helper.make_node("Softmax", ["scores"], [output], "softmax"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(inputs, TensorProto.FLOAT, ["N", 1, 16, 16])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", classes])],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Model(ir=ir.from_proto(proto), name=f"width{width}.onnx")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 320)
    images = rng.standard_normal((320, 1, 16, 16)) * 0.3
    for place, label in enumerate(labels):
        images[place, 0, 3 * label : 3 * label + 3, 2:12] += 2
    file = tmp_path / "data.npz"
    np.savez(file, x=images.astype("f4"), label=labels)
    return open_data(file, network(8, 0))


@pytest.fixture
def teacher():
    return network(12, 0)


@pytest.fixture
def student():
    return network(6, 1)


@pytest.fixture
def make():
    return network


@pytest.fixture
def answers(tmp_path):
    """Return a function of a model: its answers to three images."""

    def run(model):
        file = tmp_path / "model.onnx"
        graph.save(model, file)
        rng = np.random.default_rng(0)
        samples = [{"x": rng.standard_normal((1, 16, 16)).astype("f4")} for _ in range(3)]
        return np.array(native.call("running", outputs_of, file, samples))

    return run
