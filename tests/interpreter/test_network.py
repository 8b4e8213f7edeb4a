"""What a whole graph does on torch: values by name, parameters, refusals, the way back."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from edgekit import graph  # noqa: E402  # after the skip
from edgekit.errors import ModelError  # noqa: E402  # as above
from edgekit.interpreter.network import Network, unsupported  # noqa: E402  # as above
from edgekit.interpreter.weights import with_weights  # noqa: E402  # as above


@pytest.fixture(scope="module")
def small(small_model):
    return graph.load(small_model)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype("f4")


def built(nodes, weights=(), *, inputs=None, outputs=("y",)):
    made = helper.make_graph(
        nodes,
        "built",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (inputs or {"x": ["N", 4]}).items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        list(weights),
    )
    imports = [helper.make_opsetid("", 17)]
    return ir.from_proto(helper.make_model(made, opset_imports=imports, ir_version=9))


def test_inner_values_are_those_of_onnxruntime(small, small_model, images):
    import onnxruntime

    proto = onnx.load(small_model)
    proto.graph.output.append(onnx.ValueInfoProto(name="r1"))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = Network(small.ir).run({"x": images}, ["r1", "logits"])
    for name, expected in zip(["r1", "logits"], session.run(["r1", "logits"], {"x": images})):  # noqa: B905
        np.testing.assert_allclose(found[name].detach().numpy(), expected, atol=1e-5)


def test_only_what_is_asked_for_is_computed(small, images):
    found = Network(small.ir).run({"c1": np.zeros((1, 16, 4, 4), "f4")}, ["r1"])
    assert found["r1"].shape == (1, 16, 4, 4)
    with pytest.raises(ModelError, match=r"x: is no value of the graph, and was not fed"):
        Network(small.ir).run({}, ["r1"])
    with pytest.raises(ModelError, match=r"nowhere: is no value"):
        Network(small.ir).run({"x": images}, ["nowhere"])


def test_an_untouched_round_trip_is_identical(small, tmp_path):
    weights = Network(small.ir).weights()
    assert set(weights) == {"w1", "b1", "w2", "b2", "w3", "b3"}
    back = with_weights(small, weights)
    graph.save(small, tmp_path / "before.onnx")
    graph.save(back, tmp_path / "after.onnx")
    assert (tmp_path / "before.onnx").read_bytes() == (tmp_path / "after.onnx").read_bytes()


def test_a_trained_weight_goes_back_by_its_name(small, images):
    network = Network(small.ir)
    network.run({"x": images})["logits"].square().sum().backward()
    assert all(tensor.grad is not None for tensor in network.parameters.values())
    with torch.no_grad():
        network.parameters["w2"] -= 0.1 * network.parameters["w2"].grad
    expected = network.run({"x": images})["logits"].detach()
    changed = with_weights(small, network.weights())
    torch.testing.assert_close(Network(changed.ir).run({"x": images})["logits"], expected)
    before, after = small.ir.graph.initializers, changed.ir.graph.initializers
    differing = [
        name
        for name in before
        if not np.array_equal(before[name].const_value.numpy(), after[name].const_value.numpy())
    ]
    assert differing == ["w2"]


def test_weights_that_do_not_fit_are_refused(small):
    with pytest.raises(ModelError, match=r"other: has no initializer"):
        with_weights(small, {"other": np.zeros(3, "f4")})
    with pytest.raises(ModelError, match=r"b1: .*found float64\[16\], expected float32\[16\]"):
        with_weights(small, {"b1": np.zeros(16)})


def test_operators_that_are_not_covered_are_named_and_counted():
    nodes = [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["a"], "nms"),
        helper.make_node("Fancy", ["x"], ["b"], "one", domain="mine"),
        helper.make_node("Fancy", ["b"], ["y"], "two", domain="mine"),
        helper.make_node("Relu", ["x"], ["z"], "relu"),
    ]
    model = built(nodes)
    assert unsupported(model) == {"NonMaxSuppression": 1, "mine.Fancy": 2}
    with pytest.raises(ModelError, match=r"found NonMaxSuppression \(1\), mine.Fancy \(2\)"):
        Network(model)


def test_a_node_that_fails_is_named():
    model = built([helper.make_node("MatMul", ["x", "x"], ["y"], "product")])
    with pytest.raises(ModelError, match="product: torch cannot run MatMul"):
        Network(model).run({"x": np.zeros((2, 4), "f4")})


def test_shapes_stay_arrays_and_parameters_do_not():
    """Reshape to (batch * 2, -1), where the shape is computed of the input's."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Mul", ["batch", "two"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["row"]),
        helper.make_node("Concat", ["row", "rest"], ["target"], axis=0),
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "target"], ["y"]),
    ]
    weights = {"zero": 0, "two": 2, "axis": [0], "rest": [-1]}
    tensors = [numpy_helper.from_array(np.array(v, "i8"), name) for name, v in weights.items()]
    tensors.append(numpy_helper.from_array(np.ones(4, "f4"), "scale"))
    network = Network(built(nodes, tensors))
    assert set(network.parameters) == {"scale"}
    found = network.run({"x": np.ones((3, 4), "f4")}, ["y", "target"])
    assert found["y"].shape == (6, 2)
    assert found["y"].requires_grad
    assert found["target"].tolist() == [6, -1]


def test_quantized_values_come_out_in_their_type():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "p"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "p"], ["y"]),
    ]
    weights = [
        numpy_helper.from_array(np.array(0.5, "f4"), "s"),
        numpy_helper.from_array(np.array(3, "i1"), "p"),
    ]
    found = Network(built(nodes, weights)).run({"x": np.ones((1, 4), "f4")}, ["q", "y"])
    assert found["q"].dtype == torch.int8
    assert found["q"].tolist() == [[5] * 4]
    assert found["y"].tolist() == [[1.0] * 4]


def test_a_tap_changes_what_one_node_reads():
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Neg", ["r"], ["n"], "neg"),
        helper.make_node("Add", ["r", "n"], ["y"], "add"),
    ]
    x = np.ones((1, 4), "f4")
    network = Network(built(nodes))
    assert network.run({"x": x})["y"].tolist() == [[0.0] * 4]
    found = network.run({"x": x}, taps={("neg", "r"): lambda value: value * 3})
    assert found["y"].tolist() == [[-2.0] * 4]


def test_half_precision_weights_come_back_in_their_type():
    weights = np.ones(4, ir.DataType.BFLOAT16.numpy()), np.ones(4, "f2")
    tensors = [ir.tensor(array, name=name) for name, array in zip("bh", weights, strict=True)]
    values = [ir.Value(name=tensor.name, const_value=tensor) for tensor in tensors]
    made = ir.node("Identity", [values[0]])
    other = ir.node("Identity", [values[1]])
    holder = ir.Graph(
        [], [made.outputs[0]], nodes=[made, other], initializers=values, opset_imports={"": 17}
    )
    found = Network(ir.Model(holder, ir_version=9)).weights()
    assert [found[name].dtype.name for name in "bh"] == ["bfloat16", "float16"]
