import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.quantization.units import units_of


def graph_of(nodes, inputs, outputs, weights):
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto)).graph


def test_kinds(residual):
    units, skips = units_of(residual.ir.graph)
    assert {unit.name: unit.kind for unit in units} == {
        "stem": "stem",
        "depth": "depthwise",
        "point": "pointwise",
        "residual": "add",
        "dense": "dense",
        "pool": "pool",
        "matmul": "matmul",
        "head": "gemm",
    }
    assert skips == ()
    folded = {unit.name: unit.folded for unit in units if unit.folded}
    assert folded == {"stem": "r0", "dense": "r3"}


def test_multiply_adds(plan):
    macs = {unit.name: unit.macs for unit in plan.units}
    assert macs["stem"] == 16 * 144 * 27
    assert macs["depth"] == 16 * 144 * 9
    assert macs["point"] == 16 * 144 * 16
    assert macs["matmul"] == 16 * 24
    assert macs["head"] == 240
    assert macs["residual"] == 0


@pytest.mark.parametrize("stored", ["constant", "identity", "dequantized"])
def test_weights_stored_in_any_way_give_the_same_plan(stored):
    weight = np.random.default_rng(0).integers(-127, 128, (8, 5, 3, 3)).astype("i1")
    scale = np.float32(0.01)
    value = (weight.astype("f4") * scale).astype("f4")
    conv = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    ends = {"x": [1, 5, 9, 9]}, {"y": [1, 8, 7, 7]}
    plain = graph_of([conv], *ends, {"w": value})
    if stored == "constant":
        node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(value))
        other = graph_of([node, conv], *ends, {})
    elif stored == "identity":
        node = helper.make_node("Identity", ["w0"], ["w"])
        other = graph_of([node, conv], *ends, {"w0": value})
    else:
        node = helper.make_node("DequantizeLinear", ["q", "s"], ["w"])
        other = graph_of([node, conv], *ends, {"q": weight, "s": np.asarray(scale)})
    assert units_of(other) == units_of(plain)
    assert units_of(plain)[0][0].kind == "dense"


def test_what_has_no_int8_form_says_why():
    rng = np.random.default_rng(0)
    gru = {
        "w": rng.standard_normal((1, 12, 6)).astype("f4"),
        "r": rng.standard_normal((1, 12, 4)).astype("f4"),
        "left": rng.standard_normal((3, 5)).astype("f4"),
    }
    nodes = [
        helper.make_node("GRU", ["x", "w", "r"], ["y"], "recurrent", hidden_size=4),
        helper.make_node("MatMul", ["left", "x"], ["z"], "left_weight"),
        helper.make_node("Conv", ["i", "k"], ["c"], "computed"),
    ]
    inputs = {"x": [5, 5, 6], "i": [1, 2, 8, 8], "k": [4, 2, 3, 3]}
    outputs = {"y": [5, 1, 5, 4], "z": [5, 3, 6], "c": [1, 4, 6, 6]}
    units, skips = units_of(graph_of(nodes, inputs, outputs, gru))
    assert units == ()
    reasons = {skip.where: skip.reason for skip in skips}
    assert "GRU" in reasons["recurrent"]
    assert "left" in reasons["left_weight"]
    assert "computed weight" in reasons["computed"]


def test_grouped_transposed_and_attention_are_told_apart():
    rng = np.random.default_rng(0)
    weights = {
        "wg": rng.standard_normal((8, 2, 1, 1)).astype("f4"),
        "wt": rng.standard_normal((8, 3, 2, 2)).astype("f4"),
    }
    nodes = [
        helper.make_node("Conv", ["x", "wg"], ["a"], "grouped", group=4),
        helper.make_node("ConvTranspose", ["a", "wt"], ["y"], "transposed"),
        helper.make_node("MatMul", ["q", "k"], ["z"], "attention"),
    ]
    inputs = {"x": [1, 8, 4, 4], "q": [1, 3, 7], "k": [1, 7, 3]}
    outputs = {"y": [1, 3, 5, 5], "z": [1, 3, 3]}
    units, _ = units_of(graph_of(nodes, inputs, outputs, weights))
    assert {unit.name: (unit.kind, unit.weight_axis, unit.channels) for unit in units} == {
        "grouped": ("grouped", 0, 8),
        "transposed": ("transposed", 1, 3),
        "attention": ("attention", None, 0),
    }


def test_an_activation_that_others_read_too_is_not_folded():
    weight = {"w": np.ones((8, 8, 1, 1), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Neg", ["c"], ["n"], "neg"),
    ]
    outputs = {"r": [1, 8, 2, 2], "n": [1, 8, 2, 2]}
    (unit,), _ = units_of(graph_of(nodes, {"x": [1, 8, 2, 2]}, outputs, weight))
    assert unit.folded is None
    assert unit.output == "c"
