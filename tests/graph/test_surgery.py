import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.graph.surgery import constant_of


def value_named(model, name):
    for node in model.ir.graph:
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name == name:
                return value
    raise LookupError(name)


FORMS = ["initializer", "listed as input", "constant", "identity", "dequantized"]


@pytest.mark.parametrize("form", FORMS)
def test_a_weight_in_any_form(build, put, form):
    array = np.arange(4, dtype="f4")
    add = build.node("Add", ["x", "w"], ["y"])
    inputs = [build.value("x", ["N", 4])]
    if form == "initializer":
        model = build.model([add], weights=[build.const("w", array)])
    elif form == "listed as input":
        model = build.model(
            [add], [*inputs, build.value("w", [4])], weights=[build.const("w", array)]
        )
    elif form == "constant":
        constant = build.node("Constant", [], ["w"], value=build.const("", array))
        model = build.model([constant, add])
    elif form == "identity":
        nodes = [build.node("Identity", ["v"], ["u"]), build.node("Identity", ["u"], ["w"]), add]
        model = build.model(nodes, weights=[build.const("v", array)])
    else:
        parts = {"q": np.arange(4, dtype="i1") * 2 + 3, "s": np.float32(0.5), "z": np.int8(3)}
        model = build.model(
            [build.node("DequantizeLinear", ["q", "s", "z"], ["w"]), add],
            weights=[build.const(name, part) for name, part in parts.items()],
        )
    loaded = graph.load(put(model))
    assert np.array_equal(constant_of(value_named(loaded, "w")), array)
    assert constant_of(value_named(loaded, "x")) is None
    assert constant_of(value_named(loaded, "y")) is None
    assert [spec.name for spec in loaded.inputs] == ["x"]


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value_int": 3}, np.array(3)),
        ({"value_ints": [1, 2]}, np.array([1, 2])),
        ({"value_float": 0.5}, np.array(0.5, "f4")),
        ({"value_floats": [0.5, 1.0]}, np.array([0.5, 1.0], "f4")),
    ],
)
def test_constants_of_every_kind(attribute, expected):
    node = ir.node("Constant", [], attributes=attribute)
    found = constant_of(node.outputs[0])
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_dequantized_per_channel():
    def known(name, array):
        return ir.Value(name=name, const_value=ir.tensor(array))

    parts = [
        known("q", np.array([[1, 2], [3, 4]], "i1")),
        known("s", np.array([0.5, 2.0], "f4")),
    ]
    scope = ir.Graph([], [], nodes=[], initializers=parts)
    node = ir.node("DequantizeLinear", parts, attributes={"axis": 0})
    scope.append(node)
    assert constant_of(node.outputs[0]).tolist() == [[0.5, 1.0], [6.0, 8.0]]
