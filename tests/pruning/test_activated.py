"""Layers fitted to what an activation makes of them."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.layerwise.responses import RELU, Response, response_to
from edgekit.pruning.activated import Rows, through_activation
from edgekit.pruning.fitting import Moments, best_fit

X = np.linspace(-7, 7, 57, dtype=np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def with_ones(x):
    return np.concatenate([x, np.ones((*x.shape[:-1], 1), np.float32)], axis=-1)


def graph_of(nodes, constants, opset=20):
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["v"], "layer"), *nodes],
        "activations",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(X)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(X)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


BOUNDS = {"low": np.float32(-1), "high": np.float32(6)}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([helper.make_node("Relu", ["v"], ["y"])], {}),
        ([helper.make_node("HardSwish", ["v"], ["y"])], {}),
        ([helper.make_node("Clip", ["v", "low", "high"], ["y"])], BOUNDS),
        ([helper.make_node("Clip", ["v", "", "high"], ["y"])], BOUNDS),
        ([helper.make_node("LeakyRelu", ["v"], ["y"], alpha=0.2)], {}),
        ([helper.make_node("Elu", ["v"], ["y"], alpha=0.7)], {}),
        ([helper.make_node("Gelu", ["v"], ["y"])], {}),
        ([helper.make_node("HardSigmoid", ["v"], ["y"], alpha=0.3)], {}),
        ([helper.make_node("Sigmoid", ["v"], ["y"])], {}),
        ([helper.make_node("Softplus", ["v"], ["y"])], {}),
        ([helper.make_node("Tanh", ["v"], ["y"])], {}),
        (
            [
                helper.make_node("Sigmoid", ["v"], ["gate"]),
                helper.make_node("Mul", ["v", "gate"], ["y"]),
            ],
            {},
        ),
    ],
    ids=lambda value: "-".join(node.op_type for node in value) if isinstance(value, list) else "",
)
def test_an_activation_is_what_the_operator_makes(nodes, constants):
    proto = graph_of(nodes, constants)
    value = ir.from_proto(proto).graph[0].outputs[0]
    response = response_to(value)
    assert response is not None
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": -X})
    np.testing.assert_allclose(response(X), wanted, atol=1e-5)


def test_what_is_read_otherwise_too_is_wanted_itself():
    others = [
        [helper.make_node("Relu", ["v"], ["r"]), helper.make_node("Add", ["v", "r"], ["y"])],
        [helper.make_node("Gelu", ["v"], ["y"], approximate="tanh")],
        [helper.make_node("Add", ["v", "v"], ["y"])],
        [helper.make_node("Clip", ["v", "x"], ["y"])],
    ]
    for nodes in others:
        assert response_to(ir.from_proto(graph_of(nodes, {})).graph[0].outputs[0]) is None


def test_negative_sums_need_not_be_met():
    x = with_ones(normal(1, 200, 3))
    affine = normal(1, 2, 3, seed=1).astype(np.float64), normal(1, 2, seed=2).astype(np.float64)
    y = x[0, :, :-1] @ affine[0][0].T.astype(np.float32) + affine[1][0].astype(np.float32)
    rows = Rows(x=x, y=np.where(y < 0, 5 * y, y), skip=None, response=RELU)
    assert rows.error(affine) < 1e-9
    np.testing.assert_allclose(rows.cross(affine)[0], y.T @ x[0], atol=1e-2)
    skipped = Rows(x=x, y=rows.y, skip=y, response=RELU)
    assert skipped.error((0 * affine[0], 0 * affine[1])) < 1e-9


@pytest.mark.parametrize("operator", ["Relu", "HardSwish", "Sigmoid"])
@pytest.mark.parametrize("groups", [1, 3])
def test_what_the_activation_makes_comes_closer_than_by_the_fit_to_the_sum(operator, groups):
    rng = np.random.default_rng(7)
    weight, bias = rng.normal(size=(groups, 4, 6)), rng.normal(size=(groups, 4)) - 1

    def rows_of(seed):
        x = normal(groups, 4000, 6, seed=seed)
        y = np.einsum("gpc,goc->pgo", x, 3 * weight) + 3 * bias
        return Rows(
            x=with_ones(x[..., :4]),
            y=y.reshape(4000, -1).astype(np.float32),
            skip=None,
            response=Response(operator=operator),
        )

    fit, held_out, fresh = (rows_of(seed) for seed in range(3))
    moments = Moments.empty(groups, 4, 5), Moments.empty(groups, 4, 5)
    for sums, rows in zip(moments, (fit, held_out), strict=True):
        sums.add(rows.x, rows.y)
    prior = weight[..., :4], bias
    linear = best_fit("layer", *moments, *prior, shiftable=True)
    found = through_activation((fit, held_out), moments, prior, linear)
    assert f"through {operator}" in found.report.reason
    assert fresh.error(found.affine) < 0.98 * fresh.error(linear.affine)
