"""What each engine leaves to others: every restriction is planted and found."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import target as targets
from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.linting import check, lint

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(nodes, inputs, outputs, constants=(), *, opset=17, domains=()):
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in dict(constants).items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return Model(ir=ir.from_proto(made), name="planted")


def one(operator, *inputs, outputs=("y",), dtype=FLOAT, shape=("N", 4, 8, 8), opset=17, **options):
    """One node over `x`; further inputs are constants, or the names of inputs of the graph."""
    constants = {f"c{i}": value for i, value in enumerate(inputs) if not isinstance(value, str)}
    names = [value if isinstance(value, str) else f"c{i}" for i, value in enumerate(inputs)]
    node = helper.make_node(operator, ["x", *names], list(outputs), "planted", **options)
    free = [(name, INT64, [None]) for name in names if name and name not in constants]
    return model(
        [node],
        [("x", FLOAT, list(shape)), *free],
        [(name, dtype) for name in outputs if name],
        constants,
        opset=opset,
    )


def convolution(*, shape=("N", 4, 8, 8), weight=(4, 4, 3, 3), operator="Conv", **options):
    return one(operator, np.zeros(weight, "f4"), shape=shape, **options)


def about(findings):
    return [found for found in findings if found.where == "planted"]


BIDIRECTIONAL = {
    "hidden_size": 3,
    "direction": "bidirectional",
    "outputs": ("", "h"),
    "shape": (5, 2, 4),
}
LSTM = (np.zeros((1, 12, 4), "f4"), np.zeros((1, 12, 3), "f4"))
TENSORRT = {
    "Unique": one("Unique", dtype=FLOAT),
    "Det": one("Det", shape=("N", 4, 4)),
    "STFT": one("STFT", np.int64(2), "", np.int64(4), shape=(1, 16, 1)),
    "AveragePool: no dilations": one(
        "AveragePool", kernel_shape=[2, 2], dilations=[2, 2], opset=19
    ),
    "MaxPool: pools over two or three": one("MaxPool", kernel_shape=[2], shape=("N", 4, 8)),
    "CumSum: its axis must be constant": one("CumSum", "axis"),
    "GRU: both directions": one(
        "GRU",
        np.zeros((2, 9, 4), "f4"),
        np.zeros((2, 9, 3), "f4"),
        activations=["Sigmoid", "Tanh", "Sigmoid", "Relu"],
        **BIDIRECTIONAL,
    ),
    "LSTM: no coupled": one(
        "LSTM", *LSTM, hidden_size=3, input_forget=1, outputs=("", "h"), shape=(5, 2, 4)
    ),
    "LSTM: no batch-first": one(
        "LSTM", *LSTM, hidden_size=3, layout=1, outputs=("", "h"), shape=(2, 5, 4)
    ),
    "Resize: only nearest and linear": one(
        "Resize", "", np.array([1, 1, 2, 2], "f4"), mode="cubic"
    ),
    "Resize: no antialiasing": one(
        "Resize", "", np.array([1, 1, 2, 2], "f4"), mode="linear", antialias=1, opset=18
    ),
    "ScatterND: no reduction": one(
        "ScatterND",
        np.zeros((1, 4), np.int64),
        np.zeros(1, "f4"),
        reduction="add",
        shape=(2, 4, 8, 8),
    ),
    "TopK: fewer than 3840": one("TopK", np.array([4000]), outputs=("v", "i"), shape=("N", 5000)),
}


@pytest.mark.parametrize("wanted", TENSORRT)
def test_what_tensorrt_leaves_to_others(wanted):
    (found,) = about(check(TENSORRT[wanted], targets.load("jetson")))
    assert found.severity == "fallback"
    assert wanted in found.what
    assert "it runs on CUDA or the CPU" in found.what
    assert found.remedy


@pytest.mark.parametrize(
    "taken",
    [
        convolution(pads=[1, 1, 1, 1]),
        one("MaxPool", kernel_shape=[2, 2]),
        one("CumSum", np.array(1)),
        one("TopK", np.array([5]), outputs=("v", "i")),
        one("Resize", "", np.array([1, 1, 2, 2], "f4"), mode="linear"),
        one("LSTM", *LSTM, hidden_size=3, outputs=("", "h"), shape=(5, 2, 4)),
    ],
)
def test_what_tensorrt_takes(taken):
    assert check(taken, targets.load("jetson")) == ()


def test_an_opset_that_tensorrt_does_not_know():
    (found,) = check(one("Relu", opset=22), targets.load("jetson"))
    assert (found.severity, found.where) == ("reject", "opset")
    assert "opset 22" in found.what
    assert "opset 20" in found.remedy
    assert lint(one("Relu", opset=22), targets.load("jetson")) == (found,)


def test_a_type_that_tensorrt_computes_nothing_in():
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], "planted", to=TensorProto.INT16),
        helper.make_node("Cast", ["i"], ["y"], "back", to=FLOAT),
    ]
    (found,) = check(model(nodes, [("x", FLOAT, [2])], [("y", FLOAT)]), targets.load("jetson"))
    assert (found.severity, found.where) == ("fallback", "planted")
    assert "int16" in found.what


def test_an_operator_of_onnxruntimes_own():
    node = helper.make_node("FusedGemm", ["x", "w"], ["y"], "planted", domain="com.microsoft")
    planted = model(
        [node],
        [("x", FLOAT, [2, 3])],
        [("y", FLOAT)],
        {"w": np.zeros((3, 3), "f4")},
        domains=("com.microsoft",),
    )
    (found,) = check(planted, targets.load("jetson"))
    assert "com.microsoft.FusedGemm is no operator of ONNX" in found.what
    assert check(planted, targets.load("x86")) == ()


def test_operators_in_branches_are_looked_at():
    value = helper.make_tensor_value_info("b", FLOAT, [2])
    branch = helper.make_graph([helper.make_node("Det", ["m"], ["b"], "planted")], "b", [], [value])
    nodes = [helper.make_node("If", ["c"], ["y"], "if", then_branch=branch, else_branch=branch)]
    planted = model(nodes, [("c", TensorProto.BOOL, []), ("m", FLOAT, [2, 3, 3])], [("y", FLOAT)])
    assert len(about(check(planted, targets.load("jetson")))) == 2


def test_a_dynamic_axis_that_is_not_the_batch():
    planted = convolution(shape=("N", 4, 8, "W"), pads=[1, 1, 1, 1])
    (found,) = check(planted, targets.load("jetson"))
    assert (found.severity, found.where) == ("slow", "x")
    assert "axis 3 is dynamic" in found.what
    assert check(planted, targets.load("jetson"), shapes={"x": (1, 4, 8, 16)}) == ()
    assert lint(planted, targets.load("jetson")) == ()


DLA = {
    "GlobalAveragePool": one("GlobalAveragePool"),
    "HardSwish": one("HardSwish"),
    "Conv: kernels of 1 to 32": convolution(
        weight=(4, 4, 33, 1), kernel_shape=[33, 1], shape=("N", 4, 40, 8)
    ),
    "Conv: strides of 1 to 8": convolution(strides=[9, 9]),
    "Conv: two spatial axes": convolution(shape=("N", 4, 8), weight=(4, 4, 3)),
    "ConvTranspose: no groups": convolution(operator="ConvTranspose", weight=(4, 2, 2, 2), group=2),
    "ConvTranspose: no padding": convolution(operator="ConvTranspose", pads=[1, 1, 1, 1]),
    "MaxPool: windows of 1 to 8": one("MaxPool", kernel_shape=[9, 9], shape=("N", 4, 16, 16)),
    "Concat: along the channels": one("Concat", np.zeros((1, 4, 8, 8), "f4"), axis=2),
    "Relu: tensors of four axes": one("Relu", shape=("N", 4)),
}


@pytest.mark.parametrize("wanted", DLA)
def test_what_the_dla_leaves_to_others(wanted):
    jetson = targets.load("jetson")
    (found,) = about(check(DLA[wanted], jetson, engines=("dla",)))
    assert found.severity == "fallback"
    assert wanted in found.what
    assert about(check(DLA[wanted], jetson)) == []


def test_the_dla_knows_fixed_shapes_only():
    planted = convolution(shape=("N", 4, 8, "W"))
    found = check(planted, targets.load("jetson"), engines=("dla",))
    assert any("DLA knows fixed shapes only" in f.what for f in found)


def test_a_product_of_two_activations_is_not_for_the_dla():
    nodes = [helper.make_node("MatMul", ["x", "z"], ["y"], "planted")]
    inputs = [("x", FLOAT, [2, 3, 4]), ("z", FLOAT, [2, 4, 3])]
    planted = model(nodes, inputs, [("y", FLOAT)])
    (found,) = check(planted, targets.load("jetson"), engines=("dla",))
    assert "second input must be constant" in found.what


XNNPACK = {
    "HardSwish": one("HardSwish"),
    "Conv: two spatial axes": convolution(shape=("N", 4, 8), weight=(4, 4, 3)),
    "Conv: channels, height and width": convolution(shape=("N", 4, "H", "W")),
    "Softmax: along the last axis": one("Softmax", axis=1),
    "Resize: only linear": one("Resize", "", np.array([1, 1, 2, 2], "f4"), mode="nearest"),
    "Relu: only behind AveragePool, Conv, MaxPool": one("Relu"),
    "MatMul: matrices only": one("MatMul", np.zeros((8, 4), "f4")),
}


@pytest.mark.parametrize("wanted", XNNPACK)
def test_what_xnnpack_leaves_to_others(wanted):
    arm = targets.load("arm-cpu")
    (found,) = about(check(XNNPACK[wanted], arm, engines=("xnnpack",)))
    assert found.severity == "fallback"
    assert "it runs on onnxruntime's own kernels" in found.what
    assert wanted in found.what
    assert check(XNNPACK[wanted], arm) == ()


def test_shape_arithmetic_is_nobodys_burden():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "i"], ["g"], "gather"),
        helper.make_node("Reshape", ["x", "g"], ["y"], "reshape"),
    ]
    planted = model(nodes, [("x", FLOAT, [2, 2])], [("y", FLOAT)], {"i": np.array([1, 0])})
    assert check(planted, targets.load("jetson"), engines=("dla",)) == ()


@pytest.mark.parametrize("name", ["x86", "arm-cpu"])
def test_an_engine_that_a_target_does_not_have(name):
    with pytest.raises(UsageError, match="the target has no dla"):
        check(one("Relu"), targets.load(name), engines=("dla",))


def test_channels_that_kernels_do_not_block_by():
    planted = convolution(weight=(30, 16, 3, 3), shape=("N", 16, 8, 8))
    (found,) = check(planted, targets.load("x86"))
    assert (found.severity, found.where) == ("slow", "planted")
    assert "no multiple of 16" in found.what
    assert "16 or 32" in found.remedy
    assert (
        check(convolution(weight=(32, 16, 3, 3), shape=("N", 16, 8, 8)), targets.load("x86")) == ()
    )


def test_every_listed_operator_exists_and_every_restriction_is_of_a_listed_one():
    from onnx import defs

    from edgekit.linting.engines import _RESTRICTIONS

    known = {schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain}
    for name in targets.names():
        for engine in targets.load(name).engines:
            assert engine.operators <= known, engine.operators - known
            assert set(_RESTRICTIONS[engine.name]) <= engine.operators
            assert engine.source.startswith("https://")
            assert "unverified on hardware" in engine.title
