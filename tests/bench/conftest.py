from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import target as targets
from edgekit.bench import Running
from edgekit.candidate import Candidate
from edgekit.devices import open_device


def linear(file: Path, *, width: int = 8, layers: int = 1) -> Candidate:
    """Save x (N, width) through `layers` fixed matrix products as y."""
    random = np.random.default_rng(0)
    names = ["x", *(f"h{i}" for i in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)]
    weights = [
        numpy_helper.from_array(
            (random.standard_normal((width, width)) / width**0.5).astype(np.float32), f"w{i}"
        )
        for i in range(layers)
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, file)
    return Candidate(name="linear", file=file, sha256="0" * 64, size_bytes=file.stat().st_size)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return linear(tmp_path_factory.mktemp("small") / "small.onnx", width=64)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    return linear(tmp_path_factory.mktemp("large") / "large.onnx", width=64, layers=40)


@pytest.fixture(scope="session")
def device():
    with open_device("local") as opened:
        yield opened


@pytest.fixture
def running():
    return Running(target=targets.load("x86"))
