"""Small graphs that hold every kind of unit, and their calibration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native
from edgekit import target as targets
from edgekit.activations import stream
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization import observer_of, plan_of
from edgekit.quantization.calibration import Calibration


@dataclass(frozen=True)
class Rows:
    """A dataset over one array."""

    x: np.ndarray
    source: str = "rows"

    def __len__(self):
        return len(self.x)

    def samples(self):
        return ({"x": row} for row in self.x)


def _array(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("f4")


def residual_model() -> onnx.ModelProto:
    """Stem, depthwise, dense and pointwise Conv, hard-swish, residual Add, pool, MatMul, Gemm."""
    rng = np.random.default_rng(3)
    weights = {
        "w_stem": _array(rng, 16, 3, 3, 3),
        "b_stem": _array(rng, 16),
        "w_depth": _array(rng, 16, 1, 3, 3),
        "b_depth": _array(rng, 16),
        "w_point": _array(rng, 16, 16, 1, 1),
        "w_dense": _array(rng, 16, 16, 3, 3),
        "b_dense": _array(rng, 16),
        "w_mm": _array(rng, 16, 24),
        "w_gemm": _array(rng, 10, 24),
        "b_gemm": _array(rng, 10),
        "six": np.float32(6.0),
        "zero": np.float32(0.0),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w_stem", "b_stem"], ["c0"], "stem", **pads),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "w_depth", "b_depth"], ["c1"], "depth", group=16, **pads),
        helper.make_node("HardSwish", ["c1"], ["h1"], "swish"),
        helper.make_node("Conv", ["h1", "w_point"], ["c2"], "point"),
        helper.make_node("Add", ["c2", "r0"], ["a0"], "residual"),
        helper.make_node("Conv", ["a0", "w_dense", "b_dense"], ["c3"], "dense", **pads),
        helper.make_node("Clip", ["c3", "zero", "six"], ["r3"], "clip"),
        helper.make_node("GlobalAveragePool", ["r3"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "w_mm"], ["m"], "matmul"),
        helper.make_node("Gemm", ["m", "w_gemm", "b_gemm"], ["logits"], "head", transB=1),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "residual",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def calibrated(model, rows: Rows, folder: Path) -> Calibration:
    """Calibrate behind the door, as the pass does."""
    watching, names, empty = observer_of(infer_shapes(model))
    file = folder / "observed.onnx"
    graph.save(watching, file)
    return native.call("calibrating", stream, file, rows, names, empty)


@pytest.fixture(scope="session")
def rows() -> Rows:
    return Rows(np.random.default_rng(5).standard_normal((24, 3, 12, 12)).astype("f4"))


@pytest.fixture(scope="session")
def residual(tmp_path_factory):
    path = tmp_path_factory.mktemp("residual") / "model.onnx"
    onnx.save(residual_model(), path)
    return graph.load(path)


@pytest.fixture(scope="session")
def seen(residual, rows, tmp_path_factory):
    return calibrated(residual, rows, tmp_path_factory.mktemp("seen"))


@pytest.fixture(scope="session")
def plan(residual, seen):
    return plan_of(residual.ir.graph, seen)


@pytest.fixture(params=["x86", "arm-cpu", "jetson"])
def target(request):
    return targets.load(request.param)


@pytest.fixture
def calibrate(tmp_path):
    return lambda model, rows: calibrated(model, rows, tmp_path)
