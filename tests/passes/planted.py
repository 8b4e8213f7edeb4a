"""Networks with a planted fault that plain min-max quantization does not survive.

Each is made hard without changing what it computes: one channel of a weight grows 50 times or one
channel of an activation 100 times, and what reads it shrinks as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native
from edgekit.activations import outputs_of
from edgekit.dataset import Dataset, Sample, open_data
from edgekit.graph import Model

CLASSES = 10
WIDTH = 32
SEEN, JUDGED = 320, 800

Body = tuple[list[onnx.NodeProto], dict[str, Any], tuple[int, ...], float]
"""Nodes, weights, the shape of a sample, and how far apart prototypes are."""


@dataclass(frozen=True)
class Case:
    """A network and data for it; labels are what the float network answers."""

    model: Model
    data: Dataset
    judged: list[Sample]
    wanted: npt.NDArray[Any]

    def lost_pt(self, model: Model, folder: Path) -> float:
        """Return the share of answers that another form of the network changes, in points."""
        graph.save(model, folder / "int8.onnx")
        found = _answers(folder / "int8.onnx", self.judged).argmax(-1)
        return 100 * float(np.mean(found != self.wanted))


def convolutional(rng: np.random.Generator) -> Body:
    """Return Conv-Relu twice, a depthwise Conv, a pool."""

    def weight(*shape: int) -> npt.NDArray[np.float32]:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    weights = {
        "w1": weight(24, 3, 3, 3),
        "b1": 0.1 * weight(24, 1)[:, 0],
        "wd": weight(24, 1, 3, 3),
        "bd": 0.1 * weight(24, 1)[:, 0],
        "w2": weight(32, 24, 1, 1),
        "b2": 0.1 * weight(32, 1)[:, 0],
    }
    weights["w1"][3] *= 50
    weights["b1"][3] *= 50
    weights["wd"][3] /= 50
    weights["wd"][7] *= 100
    weights["bd"][7] *= 100
    weights["w2"][:, 7] /= 100
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", **pads),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "wd", "bd"], ["cd"], "depth", group=24, **pads),
        helper.make_node("Relu", ["cd"], ["rd"], "relud"),
        helper.make_node("Conv", ["rd", "w2", "b2"], ["c2"], "conv2"),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["features"], "flatten"),
    ]
    return nodes, weights, (3, 8, 8), 1.3


def transformer(rng: np.random.Generator) -> Body:
    """Return LayerNorm and two MatMuls with biases, twice, and the mean over the tokens."""

    def weight(*shape: int) -> npt.NDArray[np.float32]:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Any] = {}
    x = "x"
    for block in range(2):
        names = [f"{name}{block}" for name in ("s", "h", "u", "ub", "d", "db")]
        values = (np.ones(32, "f4"), np.zeros(32, "f4"), weight(32, 64), 0.1 * weight(64), 0, 0)
        weights |= dict(zip(names, values, strict=True))
        weights[f"d{block}"], weights[f"db{block}"] = weight(64, 32), 0.1 * weight(32)
        weights[f"s{block}"][5] *= 100
        weights[f"u{block}"][5] /= 100
        weights[f"u{block}"][:, 9] *= 50
        weights[f"ub{block}"][9] *= 50
        weights[f"d{block}"][9] /= 50
        nodes += [
            helper.make_node("LayerNormalization", [x, *names[:2]], [f"n{block}"], f"norm{block}"),
            helper.make_node("MatMul", [f"n{block}", names[2]], [f"m{block}"], f"up{block}"),
            helper.make_node("Add", [f"m{block}", names[3]], [f"a{block}"], f"upb{block}"),
            helper.make_node("Relu", [f"a{block}"], [f"r{block}"], f"relu{block}"),
            helper.make_node("MatMul", [f"r{block}", names[4]], [f"k{block}"], f"down{block}"),
            helper.make_node("Add", [f"k{block}", names[5]], [f"o{block}"], f"downb{block}"),
            helper.make_node("Add", [f"o{block}", x], [f"x{block}"], f"residual{block}"),
        ]
        x = f"x{block}"
    nodes.append(helper.make_node("ReduceMean", [x], ["features"], "mean", axes=[1], keepdims=0))
    return nodes, weights, (6, 32), 0.75


BODIES: tuple[Callable[[np.random.Generator], Body], ...] = (convolutional, transformer)


def case_of(body: Callable[[np.random.Generator], Body], folder: Path) -> Case:
    """Return a network with a head that tells noisy prototypes apart, fitted by least squares.

    Args:
        body: one of `BODIES`.
        folder: for its files, which must stay.
    """
    rng = np.random.default_rng(7)
    nodes, weights, shape, apart = body(rng)
    prototypes = apart * rng.standard_normal((CLASSES, *shape))
    labels = rng.integers(0, CLASSES, SEEN + JUDGED)
    x = (prototypes[labels] + rng.standard_normal((len(labels), *shape))).astype("f4")
    samples = [{"x": row} for row in x]
    features = _answers(_saved(folder / "body.onnx", nodes, weights, shape), samples[:SEEN])
    centred = np.c_[features, np.ones(SEEN)]
    head = np.linalg.lstsq(centred, np.eye(CLASSES)[labels[:SEEN]], rcond=None)[0]
    weights |= {"wh": head[:-1].astype("f4"), "bh": head[-1].astype("f4")}
    nodes.append(helper.make_node("Gemm", ["features", "wh", "bh"], ["scores"], "head"))
    file = _saved(folder / "model.onnx", nodes, weights, shape)
    np.savez(folder / "data.npz", x=x[:SEEN])
    model = graph.load(file)
    return Case(
        model=model,
        data=open_data(folder / "data.npz", model),
        judged=samples[SEEN:],
        wanted=_answers(file, samples[SEEN:]).argmax(-1),
    )


def _saved(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, Any], shape: tuple[int, ...]
) -> Path:
    outputs, width = nodes[-1].output[0], WIDTH if "wh" not in weights else CLASSES
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "planted",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, ["N", width])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)
    return path


def _answers(file: Path, samples: list[Sample]) -> npt.NDArray[Any]:
    return np.concatenate([row[0] for row in native.call("running", outputs_of, file, samples)])
