"""Simplify: smaller graphs, equal answers, and a reason when it declines."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.passes import simplify
from edgekit.passes.contract import Context
from edgekit.passes.simplify import Simplify

RNG = np.random.default_rng(0)
node = helper.make_node


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def random(name, *shape):
    return const(name, RNG.standard_normal(shape).astype("f4"))


def network(nodes, inputs, outputs, weights=(), *, opset=17, functions=(), domains=()):
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(made, opset_imports=imports, ir_version=8, functions=list(functions))


@pytest.fixture
def simplified(tmp_path):
    """Write a network, simplify it, and return the outcome and the loaded original."""

    def run(proto, shapes=None):
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        model = graph.load(path)
        context = Context(
            target=None,
            data=None,
            latencies_of=lambda *_: None,
            workspace=tmp_path,
            shapes=shapes or {},
        )
        before = graph.Model(ir=model.editable(), name="before")
        outcome = Simplify().apply(model, context)
        assert largest_difference(before, model) == 0.0, "the input is unchanged"
        json.dumps(outcome.facts)
        if outcome.changed:
            result = tmp_path / "simplified.onnx"
            graph.save(outcome.model, result)
            graph.load(result)
            assert largest_difference(model, outcome.model, shapes) <= 1e-5
        else:
            assert outcome.model is model
        return outcome

    return run


def kinds(outcome):
    return [n.op_type for n in outcome.model.ir.graph]


X, Y = value("x", ["N", 4, 6, 6]), value("y", ["N", None, None, None])


def test_normalization_through_identity_weights(simplified):
    parts = {"s": RNG.random(5), "b": RNG.random(5), "m": RNG.random(5), "v": RNG.random(5) + 1}
    nodes = [
        node("Identity", ["w0"], ["w"]),
        *(node("Identity", [f"{name}0"], [name]) for name in parts),
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("BatchNormalization", ["c", *parts], ["y"], "bn"),
    ]
    weights = [const(f"{name}0", array.astype("f4")) for name, array in parts.items()]
    outcome = simplified(network(nodes, [X], [Y], [random("w0", 5, 4, 3, 3), *weights]))
    assert kinds(outcome) == ["Conv"]
    assert outcome.facts["folded into weights"] == {"BatchNormalization": 1}
    assert outcome.facts["nodes before"] == 7
    assert outcome.facts["nodes after"] == 1


def test_constants_become_initializers(simplified):
    nodes = [
        node("Constant", [], ["w"], value=random("", 5, 4, 1, 1)),
        node("Conv", ["x", "w"], ["y"], "conv"),
    ]
    outcome = simplified(network(nodes, [X], [Y]))
    assert kinds(outcome) == ["Conv"]
    assert list(outcome.model.ir.graph.initializers) == ["w"]


def test_weights_listed_as_inputs_are_unlisted(simplified):
    proto = network(
        [node("Conv", ["x", "w"], ["y"], "conv")],
        [X, value("w", [5, 4, 1, 1])],
        [Y],
        [random("w", 5, 4, 1, 1)],
    )
    outcome = simplified(proto)
    assert outcome.changed
    assert [v.name for v in outcome.model.ir.graph.inputs] == ["x"]


def test_hard_swish_is_one_operator(simplified):
    nodes = [
        node("Add", ["x", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["c"]),
        node("Mul", ["x", "c"], ["m"]),
        node("Div", ["m", "six"], ["y"]),
    ]
    numbers = {"zero": 0, "three": 3, "six": 6}
    weights = [const(name, np.float32(number)) for name, number in numbers.items()]
    assert kinds(simplified(network(nodes, [X], [Y], weights))) == ["HardSwish"]


@pytest.mark.parametrize(
    ("rest", "target"),
    [([-1], [-1, 180]), ([5, 36], [-1, 5, 36]), ([5, -1, 6], [-1, 5, 6, 6])],
)
def test_reshape_targets_that_follow_the_batch(simplified, rest, target):
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Shape", ["c"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["u"]),
        node("Concat", ["u", "rest"], ["t"], axis=0),
        node("Reshape", ["c", "t"], ["y"], "reshape", allowzero=0),
    ]
    numbers = {"zero": 0, "axes": [0], "rest": rest}
    weights = [const(name, np.array(array, "i8")) for name, array in numbers.items()]
    outputs = [value("y", ["N", *(None for _ in rest)])]
    outcome = simplified(network(nodes, [X], outputs, [random("w", 5, 4, 1, 1), *weights]))
    assert kinds(outcome) == ["Conv", "Reshape"]
    found = outcome.model.ir.graph[1].inputs[1].const_value.numpy().tolist()
    assert found in (target, [0, *rest], [-1, *rest])


def test_pad_widths_put_together_with_zeros_become_constants(simplified):
    proto = network(
        [
            node("ConstantOfShape", ["two"], ["zeros"], value=const("", np.zeros(1, "i8"))),
            node("Concat", ["zeros", "before", "zeros", "after"], ["widths"], axis=0),
            node("Pad", ["x", "widths"], ["y"], mode="reflect"),
        ],
        [value("x", ["N", 3, 8, 8])],
        [value("y", ["N", 3, 11, 9])],
        [const("two", [2]), const("before", [1, 0]), const("after", [2, 1])],
    )
    outcome = simplified(proto)
    assert kinds(outcome) == ["Pad"]


@pytest.mark.parametrize(("axis", "left"), [(1, {"Slice"}), (0, {"Shape", "Gather", "Slice"})])
def test_bounds_computed_of_a_shape_become_constants_unless_the_batch_is_in_them(
    simplified, axis, left
):
    nodes = [
        node("Reshape", ["x", "rows"], ["r"]),
        node("Shape", ["r"], ["s"]),
        node("Gather", ["s", "axis"], ["length"]),
        node("Div", ["length", "two"], ["half"]),
        node("Unsqueeze", ["half", "zero"], ["end"]),
        node("Slice", ["r", "zero", "end", "one"], ["y"]),
    ]
    numbers = {"rows": [-1, 144], "axis": axis, "two": 2, "zero": [0], "one": [1]}
    weights = [const(name, np.array(array, "i8")) for name, array in numbers.items()]
    outcome = simplified(network(nodes, [X], [value("y", [None, None])], weights))
    assert left <= set(kinds(outcome))
    assert ("Shape" in kinds(outcome)) == ("Shape" in left)


def test_gates_in_another_order_are_weights_again(simplified):
    cut = [("a", "zero", "size"), ("b", "size", "twice")]
    nodes = [
        *(node("Slice", ["w", start, end, "zero"], [part]) for part, start, end in cut),
        node("Concat", ["b", "a"], ["turned"], axis=0),
        node("MatMul", ["x", "turned"], ["y"]),
    ]
    numbers = {"zero": [0], "size": [80], "twice": [160]}
    weights = [const(name, np.array(array, "i8")) for name, array in numbers.items()]
    inputs, outputs = [value("x", ["N", 160])], [value("y", ["N", 90])]
    outcome = simplified(network(nodes, inputs, outputs, [random("w", 160, 90), *weights]))
    assert kinds(outcome) == ["MatMul"]


def test_a_weight_that_is_read_whole_and_in_part_stays(simplified):
    nodes = [
        node("Slice", ["w", "zero", "size", "zero"], ["part"]),
        node("MatMul", ["x", "w"], ["z"]),
        node("MatMul", ["z", "part"], ["y"]),
    ]
    weights = [const("zero", np.array([0], "i8")), const("size", np.array([90], "i8"))]
    inputs, outputs = [value("x", ["N", 160])], [value("y", ["N", 90])]
    outcome = simplified(network(nodes, inputs, outputs, [random("w", 160, 90), *weights]))
    assert kinds(outcome) == ["Slice", "MatMul", "MatMul"]


def test_standardized_weights_are_weights(simplified):
    normalize = node(
        "BatchNormalization",
        ["w", "ones", "zeros", "m", "v"],
        ["s", "new_m", "new_v"],
        training_mode=1,
        epsilon=1e-8,
    )
    nodes = [
        normalize,
        node("Reshape", ["s", "kernel"], ["k"]),
        node("Conv", ["x", "k"], ["y"], "conv"),
    ]
    constants = {"ones": np.ones(64), "zeros": np.zeros(64), "m": RNG.random(64)}
    weights = [const(name, array.astype("f4")) for name, array in constants.items()]
    weights += [const("v", np.ones(64, "f4")), const("kernel", np.array([64, 4, 5, 5], "i8"))]
    outcome = simplified(network(nodes, [X], [Y], [random("w", 1, 64, 100), *weights]))
    assert kinds(outcome) == ["Conv"]


def test_reshape_targets_of_two_dynamic_parts_stay(simplified):
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["u"]),
        node("Concat", ["u", "u", "rest"], ["t"], axis=0),
        node("Expand", ["one", "t"], ["e"]),
        node("Shape", ["e"], ["z"]),
        node("Reshape", ["e", "z"], ["y"], "reshape"),
        node("Constant", [], ["unused"], value_float=1.0),
    ]
    numbers = {"zero": 0, "axes": [0], "rest": [2]}
    weights = [const(name, np.array(array, "i8")) for name, array in numbers.items()]
    weights.append(const("one", np.ones(1, "f4")))
    outcome = simplified(network(nodes, [X], [value("y", ["N", "M", 2])], weights))
    assert outcome.model.ir.graph[-1].op_type in {"Reshape", "Expand"}


def test_functions_are_inlined_and_equal_weights_merged(simplified):
    imports = [helper.make_opsetid("", 17)]
    body = [node("MatMul", ["a", "b"], ["p"]), node("Relu", ["p"], ["c"])]
    function = helper.make_function("d", "block", ["a", "b"], ["c"], body, imports)
    weight = RNG.standard_normal((6, 6)).astype("f4")
    nodes = [
        node("block", ["x", "w1"], ["h"], domain="d"),
        node("block", ["h", "w2"], ["y"], domain="d"),
    ]
    proto = network(
        nodes,
        [X],
        [Y],
        [const("w1", weight), const("w2", weight)],
        functions=[function],
        domains=["d"],
    )
    outcome = simplified(proto)
    assert kinds(outcome) == ["MatMul", "Relu", "MatMul", "Relu"]
    assert len(outcome.model.ir.graph.initializers) == 1
    assert not outcome.model.ir.functions


def test_old_opset_rises_and_metadata_stays(simplified):
    nodes = [node("Flatten", ["x"], ["f"]), node("Softmax", ["f"], ["y"], "softmax")]
    proto = network(nodes, [X], [value("y", ["N", 144])], opset=11)
    helper.set_model_props(proto, {"character": "abc"})
    outcome = simplified(proto)
    assert outcome.model.opset == 17
    assert outcome.model.metadata == {"character": "abc"}
    assert kinds(outcome) == ["Flatten", "Softmax"]
    assert (outcome.facts["opset before"], outcome.facts["opset after"]) == (11, 17)


def test_an_opset_that_cannot_rise_is_told(simplified):
    proto = network(
        [node("Upsample", ["x", "scales"], ["u"], "up"), node("Relu", ["u"], ["y"])],
        [X],
        [Y],
        [const("scales", np.array([1, 1, 2, 2], "f4"))],
        opset=9,
    )
    outcome = simplified(proto)
    reasons = [skip.reason for skip in outcome.skipped]
    assert outcome.model.opset in {9, 13, 17}
    assert outcome.model.opset == 17 or any("opset" in reason for reason in reasons)


def test_nothing_to_do(simplified):
    proto = network([node("Conv", ["x", "w"], ["y"], "conv")], [X], [Y], [random("w", 5, 4, 1, 1)])
    outcome = simplified(proto)
    assert not outcome.changed
    assert outcome.skipped == ()


def test_a_fold_does_not_grow_the_file(simplified, tmp_path):
    nodes = [
        node("Expand", ["small", "shape"], ["big"]),
        node("Add", ["x", "big"], ["y"]),
        node("Constant", [], ["unused"], value_float=1.0),
    ]
    weights = [const("small", np.ones(1, "f4")), const("shape", np.array([64, 1, 1024], "i8"))]
    proto = network(nodes, [value("x", ["N", 1, 1024])], [value("y", [None] * 3)], weights)
    outcome = simplified(proto)
    graph.save(outcome.model, tmp_path / "out.onnx")
    assert graph.file_size(tmp_path / "out.onnx") < 10_000


def test_quantized_weights_stay_quantized(simplified):
    nodes = [
        node("DequantizeLinear", ["q", "s"], ["w"], "dq"),
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Mul", ["c", "two"], ["y"], "mul"),
        node("Identity", ["x"], ["unused"]),
    ]
    weights = [
        const("q", RNG.integers(-128, 128, (5, 4, 1, 1)).astype("i1")),
        const("s", np.float32(0.01)),
        const("two", np.float32(2)),
    ]
    assert kinds(simplified(network(nodes, [X], [Y], weights))) == [
        "DequantizeLinear",
        "Conv",
        "Mul",
    ]


def test_a_result_that_differs_is_declined(simplified, monkeypatch):
    monkeypatch.setattr(simplify, "largest_difference", lambda *_args: 0.5)
    nodes = [node("Identity", ["x"], ["i"]), node("Relu", ["i"], ["y"])]
    outcome = simplified(network(nodes, [X], [Y]))
    assert not outcome.changed
    assert "outputs differ by 5.0e-01" in outcome.skipped[0].reason


def test_small_network_simplifies_the_same_every_time(small_model, tmp_path):
    context = Context(target=None, data=None, latencies_of=lambda *_: None, workspace=tmp_path)
    proto = onnx.load(small_model)
    proto.graph.node.append(node("Identity", ["logits"], ["copy"], "spare"))
    path = tmp_path / "model.onnx"
    proto.graph.output[0].name = "copy"
    onnx.save(proto, path)
    found = []
    for name in ("one", "two"):
        outcome = Simplify().apply(graph.load(path), context)
        graph.save(outcome.model, tmp_path / name)
        found.append((tmp_path / name).read_bytes())
    assert found[0] == found[1]
