"""Gradients against finite differences, in float64."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from edgekit.interpreter.network import Network  # noqa: E402  # after the skip

RNG = np.random.default_rng(3)


def d(*shape):
    return RNG.standard_normal(shape)


def recurrent(gates):
    return [d(3, 2, 2), d(2, gates * 2, 2), d(2, gates * 2, 2), d(2, gates * 4)]


CASES = [
    ("Gelu", [d(2, 3)], {}),
    ("PRelu", [d(2, 3), d(3)], {}),
    ("HardSwish", [d(2, 3)], {}),
    ("Clip", [d(2, 3), np.array(-0.5), np.array(0.5)], {}),
    ("Pad", [d(2, 4), np.array([0, 1, 0, 2])], {"mode": "reflect"}),
    ("Gather", [d(4, 3), np.array([[0, -1]])], {}),
    ("ScatterND", [d(4, 3), np.array([[0], [-1]]), d(2, 3)], {}),
    ("ReduceL2", [d(2, 3), np.array([1])], {}),
    ("ReduceMax", [d(2, 3), np.array([1])], {}),
    ("Conv", [d(1, 4, 5, 4), d(4, 2, 3, 2), d(4)], {"group": 2, "pads": [1, 0, 0, 1]}),
    ("ConvTranspose", [d(1, 2, 3, 3), d(2, 2, 2, 2), d(2)], {"strides": [2, 2]}),
    ("MaxPool", [d(1, 2, 4, 4)], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 0]}),
    ("AveragePool", [d(1, 2, 5, 4)], {"kernel_shape": [3, 2], "ceil_mode": 1}),
    ("Gemm", [d(3, 2), d(4, 3), d(4)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    ("Einsum", [d(2, 3), d(3, 2)], {"equation": "ij,jk->ik"}),
    ("Softmax", [d(2, 3)], {}),
    ("BatchNormalization", [d(2, 3, 2), d(3), d(3), d(3), d(3) ** 2 + 0.1], {}),
    ("LayerNormalization", [d(2, 3), d(3), d(3)], {}),
    ("GroupNormalization", [d(2, 4, 3), d(4), d(4)], {"num_groups": 2}),
    ("Resize", [d(1, 1, 3, 3), None, None, np.array([1, 1, 5, 2])], {"mode": "cubic"}),
    ("RNN", recurrent(1), {"hidden_size": 2, "direction": "bidirectional"}),
    ("GRU", recurrent(3), {"hidden_size": 2, "direction": "bidirectional"}),
    ("LSTM", recurrent(4), {"hidden_size": 2, "direction": "bidirectional"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_gradients_are_those_of_finite_differences(case, one_node):
    kind, inputs, attributes = case
    network = Network(ir.from_proto(one_node(kind, inputs, attributes)))
    named = {f"i{place}": array for place, array in enumerate(inputs) if array is not None}
    real = [name for name, array in named.items() if array.dtype.kind == "f"]

    def answer(*values):
        return network.run({**named, **dict(zip(real, values, strict=True))})["o0"]

    given = [torch.tensor(named[name], requires_grad=True) for name in real]
    assert torch.autograd.gradcheck(answer, given)


def test_rounding_passes_gradients_straight_through():
    """Inside the range the gradient is 1, outside 0; the scale's is that of Esser et al., eq. 3."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "p"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "rounded",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5])],
        [
            helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("p", TensorProto.INT8, [], [3]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    network = Network(ir.from_proto(model))
    x = torch.tensor([-100.0, -0.6, 0.1, 0.8, 100.0], requires_grad=True)
    y = network.run({"x": x})["y"]
    torch.testing.assert_close(y, torch.tensor([-65.5, -0.5, 0.0, 1.0, 62.0]))
    by_x, by_scale = torch.autograd.grad(y.sum(), [x, network.parameters["s"]])
    torch.testing.assert_close(by_x, torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]))
    steps = [-131, -1 + 1.2, 0 - 0.2, 2 - 1.6, 124]
    torch.testing.assert_close(by_scale, torch.tensor(sum(steps)))
