import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgekit import graph


def cost_of(build, put, node, inputs, weights=(), **options):
    """Costs of one node whose inputs have these shapes; its output has the rank of the first."""
    specs = [build.value(name, list(shape)) for name, shape in inputs.items()]
    rank = len(next(iter(inputs.values())))
    result = build.value("y", options.pop("output", [None] * rank))
    model = build.model([node], specs, [result], weights, **options)
    return graph.costs(graph.load(put(model)), {})


def weight(build, name, *shape):
    return build.const(name, np.ones(shape, "f4"))


def test_small_network_by_hand(small_model):
    costs = graph.costs(graph.load(small_model), {"x": (2, 3, 16, 16)})
    by_name = {node.name: node for node in costs.nodes}
    assert by_name["conv1"].macs == 2 * 16 * 16 * 16 * 27
    assert by_name["conv1"].parameters == 16 * 27 + 16
    assert by_name["conv1"].weight_bytes == 4 * (16 * 27 + 16)
    assert by_name["conv1"].output_shape == (2, 16, 16, 16)
    assert by_name["conv1"].output_bytes == 4 * 2 * 16 * 16 * 16
    assert by_name["conv2"].macs == 2 * 32 * 16 * 16 * 144
    assert by_name["head"].macs == 2 * 32 * 10
    assert by_name["relu1"].macs == by_name["pool"].macs == 0
    assert costs.parameters == 16 * 27 + 16 + 32 * 144 + 32 + 320 + 10
    assert costs.macs == sum(node.macs for node in costs.nodes)
    assert costs.peak_activation_bytes == 2 * 4 * 2 * 32 * 16 * 16, "conv2's output and relu2's"


def test_grouped_and_dilated_convolution(build, put):
    node = build.node("Conv", ["x", "w"], ["y"], group=4, pads=[2, 2, 2, 2], dilations=[2, 2])
    costs = cost_of(build, put, node, {"x": (1, 8, 9, 9)}, [weight(build, "w", 12, 2, 3, 3)])
    assert costs.macs == 12 * 9 * 9 * 2 * 9


def test_transposed_convolution(build, put):
    node = build.node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)
    costs = cost_of(build, put, node, {"x": (1, 4, 5, 5)}, [weight(build, "w", 4, 3, 2, 2)])
    assert costs.macs == 4 * 5 * 5 * 3 * 2 * 2
    assert costs.nodes[0].output_shape == (1, 6, 10, 10)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm(build, put, trans_a, trans_b):
    node = build.node("Gemm", ["x", "w"], ["y"], transA=trans_a, transB=trans_b)
    shape = (7, 3) if trans_a else (3, 7)
    kernel = weight(build, "w", *((5, 7) if trans_b else (7, 5)))
    assert cost_of(build, put, node, {"x": shape}, [kernel]).macs == 3 * 7 * 5


def test_batched_matrix_product_of_activations(build, put):
    node = build.node("MatMul", ["a", "b"], ["y"])
    costs = cost_of(build, put, node, {"a": (2, 3, 4, 5), "b": (3, 5, 6)})
    assert costs.macs == 2 * 3 * 4 * 5 * 6
    assert costs.parameters == 0


@pytest.mark.parametrize(("kind", "gates"), [("GRU", 3), ("LSTM", 4), ("RNN", 1)])
def test_recurrent(build, put, kind, gates):
    node = build.node(kind, ["x", "w", "r"], ["y"], hidden_size=6, direction="bidirectional")
    costs = cost_of(
        build,
        put,
        node,
        {"x": (5, 2, 4)},
        [weight(build, "w", 2, gates * 6, 4), weight(build, "r", 2, gates * 6, 6)],
        output=[5, 2, 2, 6],
    )
    assert costs.macs == 2 * 5 * 2 * gates * 6 * (4 + 6)


def test_attention(build, put):
    node = build.node("Attention", ["q", "k", "v"], ["y"])
    shapes = {"q": (1, 4, 5, 8), "k": (1, 4, 7, 8), "v": (1, 4, 7, 6)}
    costs = cost_of(build, put, node, shapes, opset=23, ir_version=10)
    assert costs.macs == 4 * 5 * 7 * (8 + 6)


def test_einsum(build, put):
    node = build.node("Einsum", ["a", "b"], ["y"], equation="bij,bjk->bik")
    costs = cost_of(build, put, node, {"a": (2, 3, 4), "b": (2, 4, 5)})
    assert costs.macs == 2 * 3 * 4 * 5


def test_shared_weight_counts_once(build, put):
    nodes = [
        build.node("MatMul", ["x", "w"], ["h"], "one"),
        build.node("MatMul", ["h", "w"], ["y"], "two"),
    ]
    model = build.model(nodes, weights=[weight(build, "w", 4, 4)])
    costs = graph.costs(graph.load(put(model)), {"x": (3, 4)})
    assert costs.parameters == 16
    assert [node.parameters for node in costs.nodes] == [16, 0]
    assert costs.macs == 2 * 3 * 16


def test_weights_in_any_form_count_alike(build, put):
    array = np.ones((4, 4), "f4")
    constant = build.node("Constant", [], ["w"], value=build.const("", array))
    identity = build.node("Identity", ["v"], ["w"])
    product = build.node("MatMul", ["x", "w"], ["y"])
    forms = [
        build.model([product], weights=[build.const("w", array)]),
        build.model([constant, product]),
        build.model([identity, product], weights=[build.const("v", array)]),
    ]
    found = [graph.costs(graph.load(put(form)), {"x": (1, 4)}) for form in forms]
    assert {(costs.parameters, costs.macs, costs.bytes) for costs in found} == {(16, 16, 80)}
    assert all([node.op_type for node in costs.nodes] == ["MatMul"] for costs in found)


def test_shapes_that_inference_cannot_tell_are_measured(build, put):
    nodes = [
        build.node("NonZero", ["x"], ["n"]),
        build.node("Cast", ["n"], ["f"], to=1),
        build.node("Transpose", ["f"], ["t"]),
        build.node("MatMul", ["t", "w"], ["y"], "last"),
    ]
    model = build.model(
        nodes,
        [build.value("x", ["N", 4])],
        [build.value("y", ["k", 3])],
        [weight(build, "w", 2, 3)],
    )
    costs = graph.costs(graph.load(put(model)), {"x": (5, 4)})
    assert costs.nodes[-1].output_shape == (20, 3)
    assert costs.nodes[-1].macs == 20 * 2 * 3


def test_functions_are_looked_into(build, put):
    inner = build.node("MatMul", ["a", "b"], ["c"])
    function = build.function("d", "product", ["a", "b"], ["c"], [inner], [build.opset("", 17)])
    model = build.model(
        [build.node("product", ["x", "w"], ["y"], domain="d")],
        weights=[weight(build, "w", 4, 4)],
        functions=[function],
        domains=["d"],
    )
    assert graph.costs(graph.load(put(model)), {"x": (1, 4)}).macs == 16


def test_peak_counts_what_is_alive_together(build, put):
    nodes = [
        build.node("Relu", ["x"], ["a"]),
        build.node("Relu", ["a"], ["b"]),
        build.node("Relu", ["b"], ["c"]),
        build.node("Add", ["a", "c"], ["y"]),
    ]
    costs = graph.costs(graph.load(put(build.model(nodes))), {"x": (1, 4)})
    assert costs.peak_activation_bytes == 3 * 16, "a, b and c, or a, c and y"


@settings(max_examples=8, deadline=None)
@given(sizes=st.tuples(*(st.integers(1, most) for most in (3, 4, 4, 3, 2))))
def test_convolution_is_a_product_per_output(tmp_path_factory, build, sizes):
    batch, channels, out, kernel, stride = sizes
    node = build.node("Conv", ["x", "w"], ["y"], strides=[stride] * 2)
    model = build.model(
        [node],
        [build.value("x", ["N", channels, 8, 8])],
        [build.value("y", ["N", out, "H", "W"])],
        [weight(build, "w", out, channels, kernel, kernel)],
    )
    path = tmp_path_factory.mktemp("conv") / "model.onnx"
    path.write_bytes(model.SerializeToString())
    costs = graph.costs(graph.load(path), {"x": (batch, channels, 8, 8)})
    side = (8 - kernel) // stride + 1
    assert costs.nodes[0].output_shape == (batch, out, side, side)
    assert costs.macs == batch * out * side**2 * channels * kernel**2


def test_a_quantized_weight_counts_as_it_is_stored(small_model, tmp_path):
    loaded = onnx.load(small_model)
    weight = next(t for t in loaded.graph.initializer if t.name == "w2")
    loaded.graph.initializer.remove(weight)
    for name, array in (
        ("w2_q", np.ones(tuple(weight.dims), "i1")),
        ("w2_scale", np.ones(32, "f4")),
        ("w2_zero", np.zeros(32, "i1")),
    ):
        loaded.graph.initializer.append(numpy_helper.from_array(array, name))
    loaded.graph.node.insert(
        0, helper.make_node("DequantizeLinear", ["w2_q", "w2_scale", "w2_zero"], ["w2"], axis=0)
    )
    onnx.save(loaded, tmp_path / "q.onnx")
    before = graph.costs(graph.load(small_model), {"x": (1, 3, 16, 16)})
    after = graph.costs(graph.load(tmp_path / "q.onnx"), {"x": (1, 3, 16, 16)})
    assert after.parameters == before.parameters
    assert after.macs == before.macs
    conv = {node.name: node for node in after.nodes}["conv2"]
    assert conv.weight_bytes == 32 * 16 * 9 + 4 * 32
