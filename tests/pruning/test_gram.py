import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.dataset import open_data
from edgekit.errors import CalibrationError
from edgekit.graph import load
from edgekit.layerwise.columns import read_at, reads, some_positions, written_at
from edgekit.layerwise.layers import layers_of
from edgekit.pruning.gram import grams


def model_of(tmp_path, nodes, weights, x, y):
    """Write a model from input `x` (name, shape) to output `y` (name, shape) and load it."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (x, y)]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file = tmp_path / "model.onnx"
    onnx.save(proto, file)
    return load(file), proto


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = {
    "plain": ({"kernel_shape": [3, 3]}, (4, 3, 3, 3), (2, 3, 9, 8)),
    "strided": ({"strides": [2, 1], "pads": [1, 0, 2, 1]}, (4, 3, 3, 2), (2, 3, 9, 8)),
    "dilated": ({"dilations": [2, 3], "pads": [2, 3, 2, 3]}, (4, 3, 3, 3), (2, 3, 9, 8)),
    "grouped": ({"group": 2}, (6, 2, 1, 1), (2, 4, 5, 5)),
    "depthwise": ({"group": 4, "pads": [1, 1, 1, 1]}, (8, 1, 3, 3), (2, 4, 5, 5)),
    "same upper": ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 3, 3, 2), (2, 3, 7, 8)),
    "same lower": ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 3, 4, 3), (2, 3, 7, 8)),
    "one axis": ({"strides": [2]}, (4, 3, 5), (2, 3, 20)),
    "three axes": ({"pads": [0, 1, 0, 0, 1, 0]}, (2, 3, 2, 3, 1), (2, 3, 4, 5, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_rows_times_the_matrix_are_the_convolution(tmp_path, name):
    attributes, weight_shape, x_shape = CONVOLUTIONS[name]
    weight, bias, x = normal(*weight_shape), normal(weight_shape[0], seed=1), normal(*x_shape)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv", **attributes)
    model, proto = model_of(
        tmp_path,
        [node],
        {"w": weight, "b": bias},
        ("x", x_shape),
        ("y", [None] * x.ndim),
    )
    (y,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (layer,) = layers_of(model.ir.graph)
    assert (layer.outputs, layer.columns) == (weight_shape[0], weight[0].size)
    positions = np.arange(reads(layer, x.shape))
    assert len(positions) == y.size // y.shape[1]
    rows = read_at(layer, x, positions)
    matrices = layer.matrix(weight).reshape(layer.groups, -1, layer.columns)
    found = (rows @ matrices.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(len(positions), -1)
    np.testing.assert_allclose(found + bias, written_at(layer, y, positions), atol=1e-4)


def gemm(trans_b):
    return helper.make_node("Gemm", ["x", "w", "b"], ["y"], "layer", transB=trans_b)


MATMUL = [
    helper.make_node("MatMul", ["x", "w"], ["h"], "layer"),
    helper.make_node("Add", ["b", "h"], ["y"], "add"),
]


@pytest.mark.parametrize(
    ("nodes", "shape", "x_shape"),
    [
        ([gemm(1)], (5, 3), (7, 3)),
        ([gemm(0)], (3, 5), (7, 3)),
        (MATMUL, (3, 5), (2, 4, 3)),
        (MATMUL[:1], (3, 5), (2, 4, 3)),
    ],
)
def test_rows_times_the_matrix_are_the_product(tmp_path, nodes, shape, x_shape):
    last = nodes[-1].output[0]
    weights = {"w": normal(*shape), "b": normal(5, seed=1)}
    model, proto = model_of(tmp_path, nodes, weights, ("x", x_shape), (last, [None] * len(x_shape)))
    x = normal(*x_shape, seed=2)
    (y,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (layer,) = layers_of(model.ir.graph)
    assert (layer.outputs, layer.columns, layer.output) == (5, 3, last)
    positions = np.array([0, 3, 6])
    found = read_at(layer, x, positions)[0] @ layer.matrix(weights["w"]).T
    if layer.bias is not None:
        found += weights[layer.bias]
    assert (layer.bias is None) == (last == "h")
    np.testing.assert_allclose(found, written_at(layer, y, positions), atol=1e-5)


def test_a_weight_is_stored_as_it_was_read(tmp_path):
    for node, shape in ((gemm(1), (5, 3)), (gemm(0), (3, 5))):
        weight = normal(*shape)
        model, _ = model_of(
            tmp_path, [node], {"w": weight, "b": normal(5)}, ("x", (7, 3)), ("y", (7, 5))
        )
        (layer,) = layers_of(model.ir.graph)
        np.testing.assert_array_equal(layer.stored(layer.matrix(weight), weight), weight)


def network(tmp_path, batch):
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["d"], "depth", group=4),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "fc", transB=1),
    ]
    weights = {
        "w1": normal(4, 2, 3, 3),
        "b1": normal(4),
        "w2": normal(4, 1, 3, 3),
        "w3": normal(3, 4),
        "b3": normal(3),
    }
    return model_of(tmp_path, nodes, weights, ("x", (batch, 2, 8, 8)), ("y", (batch, 3)))


def data_of(model, tmp_path, x):
    np.savez(tmp_path / "data.npz", x=x)
    return open_data(str(tmp_path / "data.npz"), model)


@pytest.mark.parametrize("batch", ["n", 1])
def test_grams_of_few_data_are_the_sums_over_all_positions(tmp_path, batch):
    model, proto = network(tmp_path, batch)
    x = normal(23, 2, 8, 8)
    found = grams(model, ["conv", "depth", "fc", "no such"], data_of(model, tmp_path, x), tmp_path)
    assert set(found) == {"conv", "depth", "fc"}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("r", "f"))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 23
    _, r, f = ReferenceEvaluator(proto).run(None, {"x": x})
    for layer in layers_of(model.ir.graph):
        data = {"x": x, "r": r, "f": f}[layer.data]
        gram = found[layer.node]
        assert gram.count == reads(layer, data.shape)
        rows = read_at(layer, data, np.arange(gram.count)).astype(np.float64)
        rows = np.concatenate([rows, np.ones((*rows.shape[:-1], 1))], axis=-1)
        matrix = (rows.transpose(0, 2, 1) @ rows).reshape(gram.matrix.shape)
        np.testing.assert_allclose(gram.matrix, matrix, rtol=1e-3, atol=1e-2)


def test_many_data_are_sampled_the_same_way_each_time(tmp_path):
    model, _ = network(tmp_path, "n")
    data = data_of(model, tmp_path, normal(300, 2, 8, 8))
    once, again = (grams(model, ["conv"], data, tmp_path)["conv"] for _ in range(2))
    assert 2048 <= once.count < 3000
    assert once.matrix[-1, -1] == once.count == again.count
    np.testing.assert_allclose(once.matrix, again.matrix, rtol=1e-5, atol=1e-3)


def test_positions_are_distinct_and_differ_between_batches():
    first, second = (some_positions("a", batch, 1000, 100) for batch in (0, 1))
    assert len(np.unique(first)) == 100
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(some_positions("a", 0, 7, 100), np.arange(7))


def test_activations_that_are_not_finite_are_refused(tmp_path):
    model, _ = network(tmp_path, "n")
    x = normal(20, 2, 8, 8)
    x[3] = 3e38
    with pytest.raises(CalibrationError, match="r: an activation is not finite"):
        grams(model, ["depth"], data_of(model, tmp_path, x), tmp_path)
