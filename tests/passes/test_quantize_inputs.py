"""Models with several inputs, dynamic and varying shapes, attention and a recurrent operator."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native, passes
from edgekit import target as targets
from edgekit.activations import stream
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization import emit, observer_of, plan_of
from edgekit.quantization.loss import losses_of
from edgekit.quantization.ranges import METHODS

WIDTH = 16


@dataclass(frozen=True)
class Sentences:
    """Samples whose first axis differs, with a second input."""

    samples_: tuple
    source: str = "sentences"

    def __len__(self):
        return len(self.samples_)

    def samples(self):
        return iter(self.samples_)


def array(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype("f4")


@pytest.fixture(scope="module")
def attentive(tmp_path_factory):
    """LayerNorm, attention over tokens of any number, a GRU, a second input added at the end."""
    rng = np.random.default_rng(0)
    weights = {
        "s": np.ones(WIDTH, "f4"),
        "h": np.zeros(WIDTH, "f4"),
        **{f"w{name}": array(rng, WIDTH, WIDTH) for name in "qkvo"},
        "bo": array(rng, WIDTH),
        "gw": array(rng, 1, 3 * WIDTH, WIDTH),
        "gr": array(rng, 1, 3 * WIDTH, WIDTH) / 4,
        "we": array(rng, 6, WIDTH),
        "wh": array(rng, WIDTH, 5),
        "bh": array(rng, 5),
    }
    nodes = [
        ("LayerNormalization", "x s h", "n", {}),
        ("MatMul", "n wq", "q", {}),
        ("MatMul", "n wk", "k", {}),
        ("MatMul", "n wv", "v", {}),
        ("Transpose", "k", "kt", {"perm": [0, 2, 1]}),
        ("MatMul", "q kt", "scores", {}),
        ("Softmax", "scores", "p", {"axis": -1}),
        ("MatMul", "p v", "mixed", {}),
        ("MatMul", "mixed wo", "o0", {}),
        ("Add", "o0 bo", "o", {}),
        ("Add", "o x", "r", {}),
        ("Transpose", "r", "rt", {"perm": [1, 0, 2]}),
        ("GRU", "rt gw gr", "all", {"hidden_size": WIDTH}),
        ("ReduceMean", "all", "last", {"axes": [0, 1], "keepdims": 0}),
        ("MatMul", "extra we", "e", {}),
        ("Add", "last e", "f", {}),
        ("Gemm", "f wh bh", "out", {}),
    ]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(kind, inputs.split(), [output], output, **attributes)
                for kind, inputs, output, attributes in nodes
            ],
            "attentive",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", WIDTH]),
                helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["N", 6]),
            ],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 5])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    path = tmp_path_factory.mktemp("attentive") / "model.onnx"
    onnx.save(model, path)
    return graph.load(path)


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(1)
    return Sentences(
        tuple(
            {
                "x": rng.standard_normal((int(length), WIDTH)).astype("f4"),
                "extra": rng.standard_normal(6).astype("f4"),
            }
            for length in rng.integers(3, 12, 60)
        )
    )


def loss_db(model, other, data, folder):
    files = [folder / "float.onnx", folder / "int8.onnx"]
    graph.save(model, files[0])
    graph.save(other, files[1])
    samples = list(data.samples())
    ((sqnr_db, _),) = native.call("running", losses_of, files[0], files[1:], samples)
    return sqnr_db


def test_the_pass_takes_them(attentive, sentences, tmp_path):
    context = passes.Context(
        target=targets.load("x86"),
        data=sentences,
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
    )
    outcome = passes.Quantize(placement="all", explain=False).apply(attentive, context)
    assert outcome.facts["quantized kinds"]["attention"] == 2
    assert outcome.facts["quantized units"] == outcome.facts["units"]
    assert any("GRU" in skip.reason for skip in outcome.skipped)
    assert loss_db(attentive, outcome.model, sentences, tmp_path) > 25


@pytest.fixture(scope="module")
def seen(attentive, sentences, tmp_path_factory):
    watching, names, empty = observer_of(infer_shapes(attentive))
    file = tmp_path_factory.mktemp("seen") / "observed.onnx"
    graph.save(watching, file)
    return native.call("calibrating", stream, file, sentences, names, empty)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_them(attentive, sentences, seen, method, tmp_path):
    plan = plan_of(attentive.ir.graph, seen, method=method)
    every = frozenset(unit.name for unit in plan.units)
    model = emit(attentive, plan, targets.load("x86"), every)
    assert loss_db(attentive, model, sentences, tmp_path) > 20
