"""What a runtime runs, joined to the layers of the model."""

import onnx_ir as ir
import pytest

from edgekit.bench.joining import join
from edgekit.graph import Model, Wire


def residual():
    """x -> Conv c1 -> Relu r1 -> Conv c2 -> Add a (with x) -> Relu r2 -> y, and a Shape aside."""
    w = ir.Value(name="w", const_value=ir.tensor([[[[1.0]]]], name="w"))
    x = ir.Value(name="x", shape=ir.Shape((1, 1, 4, 4)), type=ir.TensorType(ir.DataType.FLOAT))

    def node(op_type, inputs, name, output):
        made = ir.node(op_type, inputs, name=name)
        made.outputs[0].name = output
        return made

    c1 = node("Conv", [x, w], "c1", "t1")
    r1 = node("Relu", [c1.outputs[0]], "r1", "t2")
    c2 = node("Conv", [r1.outputs[0], w], "c2", "t3")
    add = node("Add", [c2.outputs[0], x], "a", "t4")
    r2 = node("Relu", [add.outputs[0]], "r2", "y")
    nodes = [c1, r1, c2, add, r2]
    graph = ir.Graph(
        [x], [r2.outputs[0]], nodes=nodes, initializers=[w], opset_imports={"": 17}, name="g"
    )
    return Model(ir=ir.Model(graph, ir_version=8), name="residual")


def wire(name, op_type, inputs, outputs, activation=""):
    return Wire(name=name, op_type=op_type, inputs=inputs, outputs=outputs, activation=activation)


def held(wires):
    return {
        layer.name: (layer.runs, tuple(node.name for node in layer.nodes))
        for layer in join(residual(), wires)
    }


def test_what_runs_as_it_is_holds_itself():
    wires = [
        wire("c1", "Conv", ("x", "w"), ("t1",)),
        wire("r1", "Relu", ("t1",), ("t2",)),
        wire("c2", "Conv", ("t2", "w"), ("t3",)),
        wire("a", "Add", ("t3", "x"), ("t4",)),
        wire("r2", "Relu", ("t4",), ("y",)),
    ]
    assert held(wires) == {name: ((name,), (name,)) for name in ("c1", "r1", "c2", "a", "r2")}


def test_nodes_that_the_runtime_fused_are_named_with_what_they_hold():
    """As onnxruntime rewrites it for AVX-512: blocked layout, sum and activation inside."""
    wires = [
        wire("ReorderInput", "ReorderInput", ("x",), ("reorder_token_0",)),
        wire("t2_nchwc", "Conv", ("reorder_token_0", "w", "b"), ("reorder_token_1",), "Relu"),
        wire(
            "t3_nchwc_token_7",
            "Conv",
            ("reorder_token_1", "w", "b", "reorder_token_0"),
            ("reorder_token_2",),
            "Relu",
        ),
        wire("ReorderOutput", "ReorderOutput", ("reorder_token_2",), ("y",)),
    ]
    assert held(wires) == {
        "ReorderInput": (("ReorderInput",), ()),
        "r1": (("t2_nchwc",), ("c1", "r1")),
        "r2": (("t3_nchwc_token_7",), ("c2", "a", "r2")),
        "ReorderOutput": (("ReorderOutput",), ()),
    }


def test_a_fused_node_is_known_by_the_tensor_that_it_makes():
    wires = [
        wire("any name", "FusedConv", ("x", "w"), ("t2",), "Relu"),
        wire("c2", "FusedConv", ("t2", "w", "", "x"), ("y",), "Relu"),
    ]
    assert held(wires) == {
        "r1": (("any name",), ("c1", "r1")),
        "r2": (("c2",), ("c2", "a", "r2")),
    }


def test_two_nodes_of_the_runtime_that_make_one_tensor_are_one_layer():
    wires = [
        wire("r1", "Relu", ("t1",), ("r1_moved",)),
        wire("Transpose_token_3", "Transpose", ("r1_moved",), ("t2",)),
        wire("r2", "Add", ("t2", "x"), ("y",)),
    ]
    assert held(wires) == {
        "r1": (("r1", "Transpose_token_3"), ("c1", "r1")),
        "r2": (("r2",), ("c2", "a", "r2")),
    }


def test_nothing_is_held_twice_or_left_out():
    wires = [
        wire("t1_nchwc", "Conv", ("x",), ("p",)),
        wire("t3_nchwc", "Conv", ("p", "w", "", "q"), ("y2",)),
        wire("y_nchwc", "Relu", ("y2",), ("z",)),
    ]
    names = [name for _, names in held(wires).values() for name in names]
    assert sorted(names) == ["a", "c1", "c2", "r1", "r2"]


def test_an_integer_operator_holds_all_up_to_the_next_quantization():
    model = residual()
    add = next(node for node in model.ir.graph if node.name == "a")
    x = model.ir.graph.inputs[0]
    quantize = ir.node("QuantizeLinear", [add.outputs[0], x], name="q")
    dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], x], name="d")
    quantize.outputs[0].name, dequantize.outputs[0].name = "qt", "dt"
    relu = next(node for node in model.ir.graph if node.name == "r2")
    relu.replace_input_with(0, dequantize.outputs[0])
    model.ir.graph.insert_after(add, [quantize, dequantize])
    wires = [
        wire("c2", "FusedConv", ("x", "w"), ("t3",)),
        wire("a", "QLinearAdd", ("t3", "s", "z", "x"), ("a_nhwc",)),
        wire("r2", "Relu", ("a_nhwc",), ("y",)),
    ]
    assert [(layer.name, [node.name for node in layer.nodes]) for layer in join(model, wires)] == [
        ("c2", ["c1", "r1", "c2"]),
        ("q", ["a", "q"]),
        ("r2", ["d", "r2"]),
    ]


@pytest.mark.parametrize("name", ["", "\x1b[2J", "../../etc/passwd", "r1" * 1000])
def test_any_name_will_do(name):
    layers = join(residual(), [wire(name, name, (name,), (name,), name)])
    assert [layer.nodes for layer in layers] == [()]
