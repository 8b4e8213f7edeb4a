"""The cause of a loss is planted; it must be found, named, and told first."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import target as targets
from edgekit.graph import Model
from edgekit.quantization.causes import cause_of
from edgekit.quantization.diagnosis import diagnosed
from edgekit.quantization.evidence import Cause, ChannelStatistics, Evidence, Seen
from edgekit.quantization.explaining import explanations
from edgekit.quantization.grid import quantized_weight
from edgekit.quantization.histogram import Histogram
from edgekit.quantization.loss import Loss
from edgekit.quantization.plan import Unit
from edgekit.quantization.ranges import Range, range_of

WIDTH = 16


def network(plant=None):
    """Four convolutions with Relu, one residual sum, a pool and a classifier."""
    rng = np.random.default_rng(11)

    def conv(inputs):
        return (rng.standard_normal((WIDTH, inputs, 3, 3)) * (2 / (9 * inputs)) ** 0.5).astype("f4")

    weights = {
        "w1": conv(3),
        "w2": conv(WIDTH),
        "w3": conv(WIDTH),
        "w4": conv(WIDTH),
        "w5": (rng.standard_normal((10, WIDTH)) / 4).astype("f4"),
        **{f"b{i}": (rng.standard_normal(WIDTH) / 10).astype("f4") for i in range(1, 5)},
        "b5": np.zeros(10, "f4"),
    }
    if plant is not None:
        plant(weights)
    nodes = []
    for index, (source, out) in enumerate(
        (("x", "r1"), ("r1", "r2"), ("r2", "r3"), ("r3", "r4")), 1
    ):
        inputs = [source, f"w{index}", f"b{index}"]
        nodes += [
            helper.make_node("Conv", inputs, [f"c{index}"], f"conv{index}", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{index}"], [out], f"relu{index}"),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", ["r4"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w5", "b5"], ["y"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Model(ir=ir.from_proto(made), name="planted")


def samples(count=12):
    rng = np.random.default_rng(5)
    return [{"x": rng.standard_normal((3, 12, 12)).astype("f4")} for _ in range(count)]


def channel_of(index, channel, times):
    """A channel of one layer 50 times the others; its reader takes that back."""

    def plant(weights):
        weights[f"w{index}"][channel] *= times
        weights[f"b{index}"][channel] *= times
        weights[f"w{index + 1}"][:, channel] /= times

    return plant


def told(model, given, tmp_path, name="x86"):
    found = diagnosed(model, targets.load(name), given, tmp_path)
    assert list(tmp_path.iterdir()) == []
    return explanations(
        found.causes,
        found.units,
        found.losses,
        now={},
        quantized=frozenset(),
        remedies={},
        gains_s={},
    )


@pytest.mark.parametrize("name", ["x86", "jetson", "arm-cpu"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_weight_channel_50_times_the_others_is_told_first(tmp_path, name, layer):
    planted = network(channel_of(layer, 5, 50))
    first, second, *others = told(planted, samples(), tmp_path, name)
    assert first.unit == f"conv{layer}"
    assert first.cause.name == "outlier channel"
    assert first.cause.figures["channel"] == 5
    assert 15 < first.cause.figures["times the median"] < 150
    assert min(first.loss_db, second.loss_db) == min(e.loss_db for e in (first, second, *others))


def test_a_layer_is_found_behind_its_bias_and_activation(tmp_path):
    rng = np.random.default_rng(2)
    up, down = (rng.standard_normal(shape).astype("f4") / 6 for shape in ((32, 48), (48, 32)))
    up[:, 9] *= 50
    down[9] /= 50
    constants = {"up": up, "bias": np.ones(48, "f4"), "down": down}
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["m"], "first"),
        helper.make_node("Add", ["m", "bias"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "down"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6, 32])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    given = [{"x": rng.standard_normal((6, 32)).astype("f4")} for _ in range(8)]
    first, second = told(Model(ir=ir.from_proto(made), name="tokens"), given, tmp_path)
    assert [first.unit, second.unit] == ["first", "second"]
    assert first.cause.name == second.cause.name == "outlier channel"
    assert first.cause.figures["channel"] == 9


def test_an_activation_100_times_its_neighbours_is_told_first(tmp_path):
    given = samples()
    given[3]["x"][1, 6, 6] = 100 * np.abs(given[3]["x"]).mean()
    first, *_ = told(network(), given, tmp_path)
    assert first.unit == "conv1"
    assert first.cause.name == "activation outlier"
    assert first.cause.figures["times the 99.9th percentile"] > 6
    assert "x reaches" in first.cause.why


def test_nothing_planted_nothing_blamed(tmp_path):
    found = told(network(), samples(), tmp_path)
    assert {e.cause.name for e in found} <= {"8-bit rounding", "narrow range", "unfused island"}
    losses = [e.loss_db for e in found]
    assert losses == sorted(losses)


def test_half_a_symmetric_grid_is_a_narrow_range(tmp_path):
    found = {e.unit: e for e in told(network(), samples(), tmp_path, "jetson")}
    assert found["conv3"].cause.name == "narrow range"
    assert found["conv3"].cause.figures["share of the grid"] == pytest.approx(0.5)


def seen(values, *, span=None, name="t", writer="before", symmetric=False, channels=None):
    values = np.asarray(values, np.float32)
    histogram = Histogram.empty()
    histogram.low, histogram.high = float(values.min()), float(values.max())
    histogram.size = values.size
    histogram.count(values.reshape(-1))
    return Seen(
        name=name,
        writer=writer,
        span=span or range_of(histogram, method="min-max", symmetric=symmetric),
        histogram=histogram,
        channels=channels,
        symmetric=symmetric,
    )


def unit(**fields):
    given = {"name": "u", "kind": "matmul", "node": "n", "folded": None, "inputs": ("t",)}
    return Unit(**{**given, "output": "o", "weight": 1, "weight_axis": 1, "channels": 8, **fields})


def evidence(reads, *, weight=None, alone=False, output=None, power=1.0):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 8)).astype("f4") if weight is None else weight
    return Evidence(
        unit=unit(),
        inputs=(reads,),
        output=output,
        power=power,
        weight=weight,
        integers=quantized_weight(weight, 1, per_channel=True),
        alone=alone,
    )


def normal(size=4096, seed=1):
    return np.random.default_rng(seed).standard_normal(size)


def test_a_range_that_cuts_values_off_is_saturation():
    values = normal()
    low, high = -1.0, 1.0
    lost = np.clip(values, low, high) - values
    span = Range(low=low, high=high, method="mse", error=float(np.mean(lost * lost)))
    found = cause_of(evidence(seen(values, span=span), power=16.0))
    assert found.name == "saturation"
    assert "-1 to 1 are cut off" in found.why


def test_values_far_from_zero_use_a_narrow_range():
    weight = np.sign(normal(128)).reshape(16, 8).astype("f4")
    found = cause_of(evidence(seen(100 + normal()), weight=weight, power=1e4))
    assert found.name == "narrow range"
    assert found.figures["steps"] < 8


def test_small_integer_sums():
    found = cause_of(evidence(seen(normal()), power=1e-6))
    assert found.name == "tiny accumulators"
    assert found.figures["mean sum"] < 64


def test_an_island_among_floats():
    assert cause_of(evidence(seen(normal()), alone=True)).name == "unfused island"
    assert cause_of(evidence(seen(normal()))).name == "8-bit rounding"


def test_a_column_of_a_weight_that_is_too_large():
    weight = np.random.default_rng(0).standard_normal((16, 8)).astype("f4")
    weight[3] *= 80
    found = cause_of(evidence(seen(normal() * 1e-3, span=None), weight=weight))
    assert found.name in {"outlier channel", "8-bit rounding"}
    rows = ChannelStatistics(peak=np.ones(16), power=np.ones(16))
    found = cause_of(evidence(seen(np.full(64, 0.5), channels=rows), weight=weight, power=1.0))
    assert found.name == "outlier channel"
    assert found.culprit == "u"
    assert found.figures["channel"] == 3


def loss(db):
    return Loss(sqnr_db=db, flips_pt=None)


def test_those_that_suffer_from_one_tensor_stand_behind_its_writer():
    units = [unit(name=name) for name in "abcd"]
    outlier = Cause(name="outlier channel", why="", culprit="b")
    own = Cause(name="8-bit rounding", why="")
    causes = {"a": own, "b": outlier, "c": outlier, "d": own}
    losses = {"a": loss(12), "b": loss(15), "c": loss(10), "d": loss(np.inf)}
    found = explanations(
        causes,
        units,
        losses,
        now={"c": loss(40)},
        quantized=frozenset("ab"),
        remedies={"c": "left in float"},
        gains_s={"c": 2e-6},
    )
    assert [e.unit for e in found] == ["b", "c", "a", "d"]
    assert [e.quantized for e in found] == [True, False, True, False]
    assert (found[1].loss_db, found[1].now_db, found[1].remedy) == (10, 40, "left in float")
    assert found[1].gain_s == 2e-6
    assert found[3].loss_db is None


def test_a_model_without_units_has_nothing_to_explain(tmp_path):
    node = helper.make_node("Tanh", ["x"], ["y"], "tanh")
    value, other = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    made = helper.make_model(
        helper.make_graph([node], "none", [value], [other]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    found = told(Model(ir=ir.from_proto(made), name="none"), samples(2), tmp_path)
    assert found == ()
