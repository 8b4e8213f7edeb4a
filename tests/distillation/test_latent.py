"""Integer weights, and the real numbers that they are rounded from."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.distillation.latent import latents
from edgekit.graph import Model


def quantized(integers, *, bits=8):
    """A Gemm by dequantized weights, a scale a row."""
    scales = np.array([0.1, 0.2, 0.3], "f4")
    weights = [
        numpy_helper.from_array(scales, "s"),
        numpy_helper.from_array(np.zeros(3, "i1"), "z"),
    ]
    nodes = [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], "dq", axis=0)]
    if bits == 4:
        weights.append(
            helper.make_tensor("q4", TensorProto.INT4, integers.shape, integers.ravel().tolist())
        )
        nodes.insert(0, helper.make_node("Cast", ["q4"], ["q"], "cast", to=TensorProto.INT8))
    else:
        weights.append(numpy_helper.from_array(integers, "q"))
    nodes.append(helper.make_node("Gemm", ["x", "w"], ["y"], "gemm", transB=1))
    made = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        weights,
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model(ir=ir.from_proto(proto), name="quantized.onnx")


INTEGERS = np.array([[100, -100, 3, 4], [5, 6, 7, 8], [0, 1, -2, 90]], "i1")
SMALL = np.array([[7, -7, 3, 4], [5, 6, 7, 0], [0, 1, -2, 3]], "i1")


@pytest.mark.parametrize(
    ("integers", "bits", "read", "ends"),
    [(INTEGERS, 8, "q", (-127, 127)), (SMALL, 8, "q", (-7, 7)), (SMALL, 4, "q", (-8, 7))],
)
def test_weights_are_found_with_their_grid(integers, bits, read, ends):
    [found] = latents(quantized(integers, bits=bits))
    assert found.name == ("q4" if bits == 4 else "q")
    assert (found.read, found.low, found.high) == (read, *ends)
    assert found.scale.shape == (3, 1)
    np.testing.assert_array_equal(found.integers, integers)


@pytest.mark.parametrize("bits", [8, 4])
def test_integers_are_trained_through_their_rounding(bits):
    torch = pytest.importorskip("torch")
    from edgekit.distillation.learner import Learner
    from edgekit.distillation.team import Team
    from edgekit.interpreter.network import Network

    model = quantized(SMALL, bits=bits)
    [latent] = latents(model)
    learner = Learner(Network(model.ir), (), [latent])
    np.testing.assert_array_equal(learner.kept()[latent.name], SMALL)
    x = torch.eye(4)
    wanted = torch.tensor((SMALL + 2) * np.array([[0.1], [0.2], [0.3]])).T.float()
    for _ in range(150):
        (learner.run({"x": x}, ["y"])["y"] - wanted).square().sum().backward()
        learner.follow(0.01, 0.5, Team())
    learnt = learner.kept()[latent.name]
    np.testing.assert_array_equal(learnt, np.minimum(SMALL + 2, 7))
    found = learner.judged({"x": x}, ["y"])["y"].numpy()
    np.testing.assert_allclose(found, (learnt * latent.scale).T, rtol=1e-5)
