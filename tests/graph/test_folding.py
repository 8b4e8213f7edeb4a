"""Folding gives the same answers with fewer nodes, for every layout of weights."""

import numpy as np
import onnx
import pytest

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.graph.folding import absorb_scalars, fold_affine

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape).astype("f4")


def folded(path, function=fold_affine):
    """Return what was folded and the model before and after."""
    model = graph.load(path)
    clone = model.editable()
    facts = function(clone.graph)
    return facts, model, graph.Model(ir=clone, name="folded")


def normalization(build, data, result, channels, name="bn"):
    parts = {
        "gamma": random(channels),
        "beta": random(channels),
        "mean": random(channels),
        "variance": RNG.random(channels).astype("f4") + 0.5,
    }
    names = [f"{name}.{part}" for part in parts]
    node = build.node("BatchNormalization", [data, *names], [result], name, epsilon=1e-3)
    return node, [build.const(n, array) for n, array in zip(names, parts.values(), strict=True)]


LAYERS = {
    "conv": (
        ("Conv", {"pads": [1, 1, 1, 1]}),
        {"w": (6, 4, 3, 3), "b": (6,)},
        ["N", 4, 5, 5],
        6,
    ),
    "conv without bias": (("Conv", {}), {"w": (6, 4, 3, 3)}, ["N", 4, 5, 5], 6),
    "depthwise": (("Conv", {"group": 4}), {"w": (8, 1, 3, 3), "b": (8,)}, ["N", 4, 5, 5], 8),
    "1d": (("Conv", {}), {"w": (6, 4, 3)}, ["N", 4, 9], 6),
    "transposed": (("ConvTranspose", {}), {"w": (4, 6, 2, 2), "b": (6,)}, ["N", 4, 5, 5], 6),
    "grouped transposed": (
        ("ConvTranspose", {"group": 2}),
        {"w": (4, 3, 2, 2)},
        ["N", 4, 5, 5],
        6,
    ),
    "gemm": (("Gemm", {"alpha": 0.5, "beta": 2.0}), {"w": (4, 6), "b": (6,)}, ["N", 4], 6),
    "gemm transposed": (("Gemm", {"transB": 1}), {"w": (6, 4), "b": (1, 6)}, ["N", 4], 6),
}


def layer(build, name, followers, weights, result="y"):
    (kind, attributes), shapes, inputs, _ = LAYERS[name]
    node = build.node(kind, ["x", *shapes], ["h"], "layer", **attributes)
    own = [build.const(key, random(*shape)) for key, shape in shapes.items()]
    return build.model(
        [node, *followers],
        [build.value("x", inputs)],
        [build.value(result, [None] * len(inputs))],
        [*own, *weights],
    )


@pytest.mark.parametrize("name", LAYERS)
def test_normalization(build, put, name):
    node, weights = normalization(build, "h", "y", LAYERS[name][3])
    facts, before, after = folded(put(layer(build, name, [node], weights)))
    assert facts == {"BatchNormalization": 1}
    assert len(after.ir.graph) == 1
    assert [o.name for o in after.outputs] == ["y"]
    assert largest_difference(before, after) <= 1e-5


@pytest.mark.parametrize("name", ["conv", "depthwise", "grouped transposed", "1d", "gemm"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_channel_arithmetic(build, put, name, per_channel):
    _, _, inputs, channels = LAYERS[name]
    shape = (channels, *(1,) * (len(inputs) - 2)) if per_channel else ()
    kinds = ("Mul", "Add", "Sub", "Div")
    values = ["h", "p", "q", "r", "y"]
    followers, weights = [], []
    for kind, one, two in zip(kinds, values, values[1:], strict=False):
        operands = [one, kind] if kind in {"Sub", "Div"} else [kind, one]
        followers.append(build.node(kind, operands, [two], kind.lower()))
        weights.append(build.const(kind, np.abs(random(*shape)) + np.float32(0.5)))
    facts, before, after = folded(put(layer(build, name, followers, weights)))
    assert facts == dict.fromkeys(kinds, 1)
    assert largest_difference(before, after) <= 1e-5


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ((6, 3, 3), "an operand per position"),
        ((3,), "an operand per column"),
        ((2, 1, 1, 1), "an operand per sample"),
        ((1, 1, 6, 1, 1), "an operand of higher rank"),
    ],
)
def test_operands_that_are_not_per_channel_stay(build, put, shape, why):
    model = layer(build, "conv without bias", [], [])
    model.graph.node.append(build.node("Mul", ["h", "m"], ["y"]))
    model.graph.initializer.append(build.const("m", random(*shape)))
    output = model.graph.output[0].type.tensor_type.shape
    while len(output.dim) < len(shape):
        output.dim.add()
    facts, *_ = folded(put(model))
    assert facts == {}, why


def test_a_value_used_elsewhere_stays(build, put):
    node, weights = normalization(build, "h", "n", 6)
    both = build.node("Add", ["n", "h"], ["y"])
    facts, *_ = folded(put(layer(build, "conv", [node, both], weights)))
    assert facts == {}


def test_a_graph_output_stays(build, put):
    node, weights = normalization(build, "h", "y", 6)
    model = layer(build, "conv", [node], weights)
    model.graph.output.append(build.value("h", [None] * 4))
    facts, *_ = folded(put(model))
    assert facts == {}


def test_tied_weights_stay(build, put):
    one, weights = normalization(build, "h", "n", 4)
    convolve = {"pads": [1, 1, 1, 1]}
    nodes = [
        build.node("Conv", ["x", "w"], ["h"], **convolve),
        one,
        build.node("Conv", ["n", "w"], ["y"], **convolve),
    ]
    inputs = [build.value("x", ["N", 4, 5, 5])]
    outputs = [build.value("y", [None] * 4)]
    model = build.model(nodes, inputs, outputs, [build.const("w", random(4, 4, 3, 3)), *weights])
    facts, *_ = folded(put(model))
    assert facts == {}


def test_a_tied_bias_is_parted(build, put):
    one, weights = normalization(build, "h", "n", 6)
    model = layer(build, "conv", [one, build.node("Add", ["n", "c"], ["y"])], weights)
    model.graph.node.insert(1, build.node("Reshape", ["b", "t"], ["c"]))
    model.graph.initializer.append(build.const("t", np.array([6, 1, 1], "i8")))
    facts, before, after = folded(put(model))
    assert facts["BatchNormalization"] == 1
    assert largest_difference(before, after) <= 1e-5


def scaled_input(build, pads, kinds):
    values = ["x", *(f"v{n}" for n in range(len(kinds)))]
    nodes = [
        build.node(kind, [one, f"c{n}"], [two])
        for n, (kind, one, two) in enumerate(zip(kinds, values, values[1:], strict=False))
    ]
    nodes.append(build.node("Conv", [values[-1], "w", "b"], ["y"], "conv", pads=pads))
    constants = [build.const(f"c{n}", np.array([0.7 + n], "f4")) for n in range(len(kinds))]
    weights = [build.const("w", random(6, 2, 3, 3)), build.const("b", random(6))]
    return build.model(
        [build.node("Relu", ["x0"], ["x"]), *nodes],
        [build.value("x0", ["N", 2, 5, 5])],
        [build.value("y", [None] * 4)],
        [*constants, *weights],
    )


@pytest.mark.parametrize(
    ("pads", "kinds", "gone"),
    [
        ([0] * 4, ["Mul", "Add"], {"Mul": 1, "Add": 1}),
        ([0] * 4, ["Div", "Sub"], {"Div": 1, "Sub": 1}),
        ([1] * 4, ["Mul"], {"Mul": 1}),
        ([1] * 4, ["Mul", "Add"], {"Mul": 1}),
        ([1] * 4, ["Div", "Sub"], {"Div": 1}),
        ([1] * 4, ["Add"], {}),
        ([1, 0, 0, 0], ["Add"], {}),
    ],
)
def test_numbers_before_a_convolution(build, put, pads, kinds, gone):
    facts, before, after = folded(put(scaled_input(build, pads, kinds)), absorb_scalars)
    assert facts == gone
    assert len(after.ir.graph) == len(before.ir.graph) - sum(gone.values())
    assert largest_difference(before, after) <= 1e-5


def test_the_input_model_is_unchanged(build, put):
    node, weights = normalization(build, "h", "y", 6)
    path = put(layer(build, "conv", [node], weights))
    _, before, _ = folded(path)
    graph.save(before, path.with_name("again.onnx"))
    names = [n.op_type for n in onnx.load(path.with_name("again.onnx")).graph.node]
    assert names == ["Conv", "BatchNormalization"]
    assert largest_difference(before, graph.load(path)) == 0.0
