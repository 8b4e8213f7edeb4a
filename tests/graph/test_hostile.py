"""Models that crash, hang, bloat or mislead are refused in one line, within limits."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit import graph
from edgekit.errors import ModelError
from edgekit.graph import structure

TIMEOUT_S = 2
HOST_MEMORY_MIB = 512

PROGRAM = """
import json, operator, resource, sys, time
from edgekit import graph, native
from edgekit.errors import EdgekitError
from edgekit.native.warm import WARM
native.call("warming", operator.add, 1, 2)
said = {}
for path in sys.argv[1:]:
    started = time.monotonic()
    try:
        graph.load(path)
        message = "loaded"
    except EdgekitError as error:
        message = type(error).__name__ + " " + str(error)
    said[path] = message, time.monotonic() - started
WARM.stop()
peaks = [resource.getrusage(who).ru_maxrss >> 10
         for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([said, sum(peaks)]))
"""


def load_apart(*paths):
    """Load in a process of its own; return (message, seconds) of each, MiB of host and child."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)],
        env={"EDGEKIT_TIMEOUT": str(TIMEOUT_S), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def layer_norm_that_kills_session_creation(b):
    node = b.node("LayerNormalization", ["w", "x", ""], ["y"], axis=1)
    return b.model(
        [node],
        [b.value("x", [4, 2])],
        [b.value("y", ["a"])],
        [b.const("w", np.ones((1, 4), "f4"))],
        opset=22,
    )


def dft_that_kills_the_run(b):
    node = b.node("DFT", ["x", "", ""], ["y"], onesided=0)
    return b.model([node], [b.value("x", [1, 4, 4, 4])], [b.value("y", ["a"])], opset=21)


def random_that_aborts_the_run(b):
    node = b.node("RandomNormal", [], ["y"], scale=-1.0, shape=[2, 4])
    return b.model([node], [], [b.value("y", [2, 4])])


def endless_loop(b):
    body = b.graph(
        [b.node("Identity", ["c"], ["d"]), b.node("Add", ["s", "s"], ["t"])],
        "body",
        [
            b.value("i", [], TensorProto.INT64),
            b.value("c", [], TensorProto.BOOL),
            b.value("s", ["N", 4]),
        ],
        [b.value("d", [], TensorProto.BOOL), b.value("t", ["N", 4])],
    )
    node = b.node("Loop", ["", "on", "x"], ["y"], body=body)
    return b.model([node], weights=[b.const("on", np.array(True))])


def expand_to_a_tebibyte(b):
    shape = b.const("s", np.array([1 << 19, 1 << 19], "i8"))
    node = b.node("Expand", ["x", "s"], ["y"])
    return b.model([node], [b.value("x", [1, 1])], [b.value("y", ["a", "b"])], [shape])


def expand_to_two_gibibytes(b):
    shape = b.const("s", np.array([1 << 29], "i8"))
    nodes = [b.node("ConstantOfShape", ["s"], ["z"]), b.node("ReduceSum", ["z"], ["r"])]
    return b.model([*nodes, b.node("Add", ["x", "r"], ["y"])], weights=[shape])


def a_million_nodes(b):
    model = b.model([b.node("Relu", ["x"], ["y"])])
    one = model.graph.SerializeToString()
    node = model.graph.node[0].SerializeToString()
    nodes = (b"\x0a" + bytes([len(node)]) + node) * 1_000_000
    model.ClearField("graph")
    size = len(one) + len(nodes)
    length = bytes((size >> shift) & 127 | (128 if shift < 28 else 0) for shift in range(0, 35, 7))
    return model.SerializeToString() + b"\x3a" + length + one + nodes


def functions_that_double(b):
    imports = [b.opset("", 17), b.opset("d", 1)]
    functions = []
    for level in range(24):
        name, domain = (f"f{level - 1}", "d") if level else ("Relu", "")
        nodes = [
            b.node(name, ["a"], ["t"], domain=domain),
            b.node(name, ["t"], ["b"], domain=domain),
        ]
        functions.append(b.function("d", f"f{level}", ["a"], ["b"], nodes, imports))
    node = b.node("f23", ["x"], ["y"], domain="d")
    return b.model([node], functions=functions, domains=["d"])


def deeply_nested(b):
    inner = b.graph([b.node("Relu", ["x"], ["r0"])], "n0", [], [b.value("r0", ["N", 4])])
    for level in range(1, structure.DEEPEST + 4):
        leaf = b.graph(
            [b.node("Relu", ["x"], [f"e{level}"])], "e", [], [b.value(f"e{level}", ["N", 4])]
        )
        node = b.node("If", ["on"], [f"r{level}"], then_branch=inner, else_branch=leaf)
        inner = b.graph([node], f"n{level}", [], [b.value(f"r{level}", ["N", 4])])
    leaf = b.graph([b.node("Relu", ["x"], ["e"])], "e", [], [b.value("e", ["N", 4])])
    node = b.node("If", ["on"], ["y"], then_branch=inner, else_branch=leaf)
    return b.model([node], weights=[b.const("on", np.array(True))])


VIOLENT = [
    (layer_norm_that_kills_session_creation, "session creation: the native library crashed"),
    (dft_that_kills_the_run, "a run: the native library crashed"),
    (random_that_aborts_the_run, "a run: the native library crashed"),
    (endless_loop, "a run: not finished after 2 s"),
    (expand_to_a_tebibyte, "needs more memory"),
    (expand_to_two_gibibytes, "needs more memory"),
    (a_million_nodes, "too many nodes"),
    (functions_that_double, "too many nodes"),
    (deeply_nested, "nests subgraphs too deeply"),
]


def test_violent_models_are_refused_within_limits(build, put, small_model):
    paths = [put(make(build), f"{make.__name__}.onnx") for make, _ in VIOLENT]
    sober, sober_mebibytes = load_apart(small_model)
    assert sober[str(small_model)][0] == "loaded"
    said, mebibytes = load_apart(*paths)
    largest = max(path.stat().st_size for path in paths) >> 20
    assert mebibytes - sober_mebibytes <= HOST_MEMORY_MIB + largest
    for path, (_, reason) in zip(paths, VIOLENT, strict=True):
        message, seconds = said[str(path)]
        assert message.startswith(f"ModelError {path.name}: ")
        assert "\n" not in message
        assert reason in message
        assert seconds <= TIMEOUT_S + 3


def refused(path, pattern):
    with pytest.raises(ModelError, match=pattern) as caught:
        graph.load(path)
    line = str(caught.value)
    assert "\n" not in line
    assert path.name in line


def test_function_that_calls_itself(build, put):
    imports = [build.opset("", 17), build.opset("d", 1)]
    nodes = [build.node("f", ["a"], ["b"], domain="d")]
    model = build.model(
        [build.node("f", ["x"], ["y"], domain="d")],
        functions=[build.function("d", "f", ["a"], ["b"], nodes, imports)],
        domains=["d"],
    )
    refused(put(model), "f: function calls itself")


def test_two_initializers_of_one_name(build, put):
    weight = build.const("w", np.ones(4, "f4"))
    model = build.model([build.node("Add", ["x", "w"], ["y"])], weights=[weight, weight])
    refused(put(model), "w: two initializers have one name")


def test_tensor_with_raw_and_typed_data(build, put):
    weight = build.const("w", np.ones(4, "f4"))
    weight.float_data.extend([2.0] * 4)
    model = build.model([build.node("Add", ["x", "w"], ["y"])], weights=[weight])
    refused(put(model), "w: tensor holds its data twice")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.dims.__setitem__(0, 5), "wrong amount of data"),
        (lambda t: t.dims.__setitem__(0, -1), "negative dimension"),
        (lambda t: t.dims.__setitem__(0, 1 << 62), "impossibly large"),
        (lambda t: setattr(t, "data_type", 99), "unknown element type"),
        (lambda t: t.ClearField("raw_data"), "holds no data"),
    ],
)
@pytest.mark.parametrize("place", ["initializer", "attribute", "branch", "function"])
def test_tensor_that_lies_wherever_it_hides(build, put, change, reason, place):
    weight = build.const("w", np.ones(4, "f4"))
    change(weight)
    constant = onnx.NodeProto(op_type="Constant", output=["w"])
    constant.attribute.append(
        onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=weight)
    )
    add = build.node("Add", ["x", "w"], ["y"])
    if place == "initializer":
        model = build.model([add], weights=[weight])
    elif place == "attribute":
        model = build.model([constant, add])
    elif place == "branch":
        branch = build.graph([constant, add], "b", [], [build.value("y", ["N", 4])])
        node = build.node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
        model = build.model([node], weights=[build.const("on", np.array(True))])
    else:
        function = build.function("d", "f", ["x"], ["y"], [constant, add], [build.opset("", 17)])
        node = build.node("f", ["x"], ["y"], domain="d")
        model = build.model([node], functions=[function], domains=["d"])
    refused(put(model), reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.ClearField("opset_import"), "no version of the ONNX operator set"),
        (lambda m: m.opset_import.extend(list(m.opset_import)), "imports an operator set twice"),
        (lambda m: setattr(m.opset_import[0], "version", 9999), "opset 9999"),
        (lambda m: setattr(m.opset_import[0], "version", 0), "opset 0"),
        (lambda m: setattr(m, "ir_version", 9999), "IR version"),
        (lambda m: m.ClearField("graph"), "no graph"),
        (lambda m: m.graph.ClearField("output"), "no outputs"),
        (lambda m: m.training_info.add(), "training information"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "gone"), "gone"),
        (lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOp"), "NoSuchOp"),
    ],
)
def test_versions_and_graphs_that_readers_take_differently(build, put, change, reason):
    model = build.model([build.node("Relu", ["x"], ["y"])])
    change(model)
    refused(put(model), reason)


def test_contradictory_fixed_shapes_are_refused(build, put):
    weight = build.const("w", np.ones((5, 4), "f4"))
    model = build.model(
        [build.node("MatMul", ["x", "w"], ["y"])],
        [build.value("x", [1, 4])],
        [build.value("y", [1, 4])],
        [weight],
    )
    refused(put(model), r"MatMul|dimension|shape")
