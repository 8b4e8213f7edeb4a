"""Normalization by the samples of a step."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.distillation.normalizing import by_batch


def normalized():
    """A normalization and a product."""
    weights = {
        "scale": np.ones(3),
        "shift": np.zeros(3),
        "mean": np.zeros(3),
        "variance": np.ones(3),
        "w": np.eye(3),
    }
    nodes = [
        helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("MatMul", ["n", "w"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "normalized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype("f4"), name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return ir.from_proto(helper.make_model(made, opset_imports=opset, ir_version=9))


def test_only_where_its_scale_is_trained():
    assert by_batch(normalized(), {"w"}) == {}
    model = normalized()
    assert by_batch(model, {"w", "scale"}) == {
        "mean": "mean/moved",
        "variance": "variance/moved",
    }
    assert by_batch(model, {"w", "scale"}) == {}


def test_statistics_move_to_those_of_the_samples():
    torch = pytest.importorskip("torch")
    from edgekit.distillation.learner import Learner, Moving
    from edgekit.distillation.team import Team
    from edgekit.interpreter.network import Network

    still, model = Network(normalized()), normalized()
    moved = by_batch(model, {"scale", "shift"})
    moving = Moving(network=Network(model), moved=moved)
    learner = Learner(still, ["scale", "shift"], (), moving)
    x = torch.tensor([3.0, 0.0, -1.0]) + 2 * torch.randn(64, 3, generator=torch.manual_seed(0))
    for _ in range(100):
        found = learner.run({"x": x}, ["y"])["y"]
        found.sum().backward()
        learner.follow(0.0, 0.5, Team())
    np.testing.assert_allclose(found.detach().mean(0), 0, atol=1e-5)
    kept = learner.kept()
    np.testing.assert_allclose(kept["mean"], x.mean(0), rtol=1e-3)
    np.testing.assert_allclose(kept["variance"], x.var(0, correction=0), rtol=1e-3)
    np.testing.assert_allclose(learner.judged({"x": x}, ["y"])["y"], found.detach(), atol=1e-3)
    state = {name: array.copy() for name, array in learner.state().items()}
    learner.begin()
    np.testing.assert_array_equal(learner.kept()["mean"], 0)
    learner.restore(state)
    np.testing.assert_array_equal(learner.kept()["mean"], kept["mean"])
