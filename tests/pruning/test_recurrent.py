import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import native
from edgekit.dataset import open_data
from edgekit.graph import load
from edgekit.graph.trial import open_session
from edgekit.pruning.cells import cell_of
from edgekit.pruning.reconstruction import reconstructed

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
INPUTS, HIDDEN, STEPS = 5, 10, 7
STAYS = np.array([0, 2, 3, 5, 6, 9])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def weights_of(op, directions, *, bias=True):
    rows = GATES[op] * HIDDEN
    weights = {
        "w": normal(directions, rows, INPUTS, seed=1) / 2,
        "r": normal(directions, rows, HIDDEN, seed=2) / 3,
        "b": 0.2 * normal(directions, 2 * rows, seed=3),
        "wo": normal(HIDDEN, 4, seed=4),
    }
    if not bias:
        weights["b"] *= 0
    return weights


def sliced(op, weights):
    rows = np.concatenate([gate * HIDDEN + STAYS for gate in range(GATES[op])])
    both = np.concatenate([rows, GATES[op] * HIDDEN + rows])
    return {
        "w": np.ascontiguousarray(weights["w"][:, rows]),
        "r": np.ascontiguousarray(weights["r"][:, rows][:, :, STAYS]),
        "b": np.ascontiguousarray(weights["b"][:, both]),
        "wo": np.ascontiguousarray(weights["wo"][STAYS]),
    }


def model_of(tmp_path, name, op, direction, weights, *, bias=True, **attributes):
    hidden = weights["r"].shape[2]
    inputs = ["x", "w", "r", "b"] if bias else ["x", "w", "r"]
    nodes = [
        helper.make_node("Transpose", ["batch"], ["x"], "steps first", perm=[1, 0, 2]),
        helper.make_node(
            op, inputs, ["states"], "cell", hidden_size=hidden, direction=direction, **attributes
        ),
        helper.make_node("MatMul", ["states", "wo"], ["y"], "head"),
    ]
    info = [
        helper.make_tensor_value_info("batch", TensorProto.FLOAT, ("n", STEPS, INPUTS)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (STEPS, None, "n", 4)),
    ]
    used = {key: value for key, value in weights.items() if bias or key != "b"}
    graph = helper.make_graph(
        nodes, "g", info[:1], info[1:], [numpy_helper.from_array(v, k) for k, v in used.items()]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(proto, tmp_path / f"{name}.onnx")
    return load(tmp_path / f"{name}.onnx")


def kept(value, axis):
    return STAYS if (value, axis) == ("r", 2) else None


def answers(model, x):
    import onnx_ir as ir

    return native.call("running", run, ir.to_proto(model.ir).SerializeToString(), x)


def run(serialized, x):
    return open_session(serialized).run(None, {"batch": x})[0]


CELLS = {
    "GRU, reset before": ("GRU", "forward", {"linear_before_reset": 0}),
    "GRU, linear before reset": ("GRU", "bidirectional", {"linear_before_reset": 1}),
    "LSTM": ("LSTM", "bidirectional", {}),
    "RNN": ("RNN", "reverse", {}),
}


@pytest.mark.parametrize("name", CELLS)
def test_states_come_nearer_to_the_dense_ones(tmp_path, name):
    op, direction, attributes = CELLS[name]
    full = weights_of(op, 2 if direction == "bidirectional" else 1)
    dense = model_of(tmp_path, "dense", op, direction, full, **attributes)
    pruned = model_of(tmp_path, "pruned", op, direction, sliced(op, full), **attributes)
    np.savez(tmp_path / "data.npz", batch=normal(150, STEPS, INPUTS, seed=9))
    data = open_data(str(tmp_path / "data.npz"), dense)
    fitted, fits = reconstructed(dense, pruned, kept, data, tmp_path)
    cell = fits[0]
    assert (cell.node, cell.accepted) == ("cell", True)
    assert cell.after < 0.9 * cell.before
    x = normal(40, STEPS, INPUTS, seed=10)
    wanted = answers(dense, x)
    errors = [np.square(answers(model, x) - wanted).mean() for model in (pruned, fitted)]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_lost_nothing_keeps_its_states(tmp_path, name):
    op, direction, attributes = CELLS[name]
    full = weights_of(op, 2 if direction == "bidirectional" else 1)
    dense = model_of(tmp_path, "dense", op, direction, full, **attributes)
    np.savez(tmp_path / "data.npz", batch=normal(50, STEPS, INPUTS, seed=9))
    data = open_data(str(tmp_path / "data.npz"), dense)
    fitted, _ = reconstructed(dense, dense, lambda _value, _axis: None, data, tmp_path)
    x = normal(10, STEPS, INPUTS, seed=10)
    np.testing.assert_allclose(answers(fitted, x), answers(dense, x), atol=1e-4)


def test_a_cell_without_a_bias_gets_one(tmp_path):
    full = weights_of("GRU", 1, bias=False)
    dense = model_of(tmp_path, "dense", "GRU", "forward", full, bias=False)
    pruned = model_of(tmp_path, "pruned", "GRU", "forward", sliced("GRU", full), bias=False)
    np.savez(tmp_path / "data.npz", batch=1 + normal(100, STEPS, INPUTS, seed=9))
    data = open_data(str(tmp_path / "data.npz"), dense)
    fitted, fits = reconstructed(dense, pruned, kept, data, tmp_path)
    assert fits[0].accepted
    assert fitted.ir.graph.initializers["cell.bias"].const_value.numpy().any()


def test_a_cell_of_which_only_the_last_state_is_read_is_fitted(tmp_path):
    full = weights_of("LSTM", 1)
    models = []
    for name, weights in (("dense", full), ("pruned", sliced("LSTM", full))):
        model_of(tmp_path, name, "LSTM", "forward", weights)
        proto = onnx.load(tmp_path / f"{name}.onnx")
        cell = next(node for node in proto.graph.node if node.op_type == "LSTM")
        cell.output[:] = ["", "states"]
        proto.graph.output[0].CopyFrom(
            helper.make_tensor_value_info("y", TensorProto.FLOAT, (None, "n", 4))
        )
        onnx.save(proto, tmp_path / f"{name}.onnx")
        models.append(load(tmp_path / f"{name}.onnx"))
    dense, pruned = models
    np.savez(tmp_path / "data.npz", batch=normal(100, STEPS, INPUTS, seed=9))
    data = open_data(str(tmp_path / "data.npz"), dense)
    fitted, fits = reconstructed(dense, pruned, kept, data, tmp_path)
    assert (fits[0].node, fits[0].accepted) == ("cell", True)
    assert not fitted.ir.graph.node("cell").outputs[0].name


def test_what_cannot_be_fitted_says_why(tmp_path):
    full = weights_of("RNN", 1)
    model = model_of(tmp_path, "dense", "RNN", "forward", full, activations=["Relu"])
    reason = cell_of(model.ir.graph.node("cell"))
    assert reason == "another layout or other activations than usual"
