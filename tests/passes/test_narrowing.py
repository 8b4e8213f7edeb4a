"""Integer weights alone compete with int8 and float where a device measures."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.measurement import Interval

WIDTH = 520


@pytest.fixture
def case(tmp_path):
    """Two layers of one large matrix each."""
    rng = np.random.default_rng(6)
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) / 23).astype("f4"), name)
        for name, shape in (("w1", (WIDTH, WIDTH)), ("w2", (WIDTH, WIDTH)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Tanh", ["a"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "w2"], ["y"], "second"),
    ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "matrices",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(proto, tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((48, WIDTH)).astype("f4"))
    model = graph.load(tmp_path / "model.onnx")
    return model, open_data(tmp_path / "data.npz", model), tmp_path


def machine(seconds_of):
    """A device on which a model takes `seconds_of` its operators."""

    def latencies(models, _effort):
        found = [seconds_of([node.op_type for node in model.ir.graph]) for model in models]
        return [Interval(low=s * 0.99, value=s, high=s * 1.01) for s in found]

    return latencies


def quantized(case, seconds_of, **params):
    model, data, folder = case
    context = passes.Context(
        target=targets.load("x86"),
        data=data,
        latencies_of=machine(seconds_of),
        workspace=folder,
    )
    return passes.Quantize(explain=False, **params).apply(model, context)


def test_where_it_is_fastest_it_is_taken(case):
    outcome = quantized(case, lambda kinds: 1.0 - 0.2 * kinds.count("MatMulNBits"))
    assert outcome.changed
    assert outcome.facts["integer weights alone"] == {"bits": 8, "matrices": 2}
    assert outcome.facts["quantized units"] == 0
    assert outcome.facts["sqnr_db on calibration samples"] > 25


def test_where_int8_is_faster_it_stays(case):
    outcome = quantized(
        case,
        lambda kinds: 1.0 - 0.1 * kinds.count("QuantizeLinear") - 0.01 * kinds.count("MatMulNBits"),
    )
    assert outcome.changed
    assert "integer weights alone" not in outcome.facts
    assert outcome.facts["quantized units"] == 2


def test_what_is_too_coarse_is_not_taken(case):
    """8 bits keep about 45 dB here."""
    outcome = quantized(
        case, lambda kinds: 1.0 - 0.2 * kinds.count("MatMulNBits"), min_sqnr_db=70.0
    )
    assert not outcome.changed
