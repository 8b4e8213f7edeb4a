import tracemalloc

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.dataset import open_data
from edgekit.graph import load
from edgekit.layerwise.batches import Batch, batches
from edgekit.layerwise.layers import layers_of
from edgekit.layerwise.responses import RELU
from edgekit.layerwise.stepwise import Stepwise
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.targets import fitting_order

WIDTH, INNER, LEFT = 6, 12, 5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def weight(*shape, seed):
    return normal(*shape, seed=seed) / np.sqrt(np.prod(shape[1:])).astype(np.float32)


def network(inner, *, batch="n", weights=None):
    """Return stem, a residual block with a shorter way, pool and head; `inner` channels within."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["r0", "w3", "b3"], ["c3"], "short"),
        helper.make_node("Add", ["c2", "c3"], ["s"], "sum"),
        helper.make_node("Relu", ["s"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["y"], "head", transB=1),
    ]
    weights = weights or {
        "w0": weight(WIDTH, 2, 3, 3, seed=1),
        "b0": 0.1 * normal(WIDTH, seed=2),
        "w1": weight(inner, WIDTH, 3, 3, seed=3),
        "b1": 0.1 * normal(inner, seed=4),
        "w2": weight(WIDTH, inner, 3, 3, seed=5),
        "b2": 0.1 * normal(WIDTH, seed=6),
        "w3": weight(WIDTH, WIDTH, 1, 1, seed=7),
        "b3": 0.1 * normal(WIDTH, seed=8),
        "w4": weight(3, WIDTH, seed=9),
        "b4": 0.1 * normal(3, seed=10),
    }
    return proto_of(nodes, weights, ("x", (batch, 2, 8, 8)), ("y", (batch, 3))), weights


def proto_of(nodes, weights, x, y):
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (x, y)]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def loaded(tmp_path, proto, name):
    onnx.save(proto, tmp_path / f"{name}.onnx")
    return load(tmp_path / f"{name}.onnx")


def pair(tmp_path, batch="n"):
    """Return the dense model, the same less seven inner channels, and what is kept."""
    dense, weights = network(INNER, batch=batch)
    stays = np.arange(LEFT)
    sliced = weights | {
        "w1": weights["w1"][stays],
        "b1": weights["b1"][stays],
        "w2": np.ascontiguousarray(weights["w2"][:, stays]),
    }
    pruned, _ = network(LEFT, batch=batch, weights=sliced)

    def kept(value, axis):
        return stays if (value, axis) in {("c1", 1), ("r1", 1)} else None

    return loaded(tmp_path, dense, "dense"), loaded(tmp_path, pruned, "pruned"), kept


def data_of(model, tmp_path, x, name="data"):
    np.savez(tmp_path / f"{name}.npz", x=x)
    return open_data(str(tmp_path / f"{name}.npz"), model)


def answers(model, x):
    proto = ir.to_proto(model.ir)
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = len(x)
    return ReferenceEvaluator(proto).run(None, {"x": x})[0]


@pytest.mark.parametrize("batch", ["n", 1])
def test_answers_come_back_on_samples_that_were_not_used(tmp_path, batch):
    dense, pruned, kept = pair(tmp_path, batch)
    data = data_of(dense, tmp_path, normal(120, 2, 8, 8, seed=20))
    before = {name: value.const_value for name, value in pruned.ir.graph.initializers.items()}
    done = []
    fitted, fits = reconstructed(
        dense, pruned, kept, data, tmp_path, progress=lambda *at: done.append(at)
    )
    x = normal(50, 2, 8, 8, seed=21)
    wanted = answers(dense, x)
    errors = [np.square(answers(model, x) - wanted).mean() for model in (pruned, fitted)]
    assert errors[1] < 0.25 * errors[0]
    assert done[-1] == (5, 5)
    assert [fit.node for fit in fits] == ["stem", "first", "short", "second", "head"]
    report = {fit.node: fit for fit in fits}
    for exact in ("stem", "first", "short"):
        assert not report[exact].accepted
    assert report["second"].accepted
    assert report["second"].after < report["second"].before
    assert "through Relu" in report["second"].reason
    after = {name: value.const_value for name, value in pruned.ir.graph.initializers.items()}
    assert before == after
    assert not [file for file in tmp_path.iterdir() if file.is_dir()]


def test_the_same_data_give_the_same_weights(tmp_path):
    dense, pruned, kept = pair(tmp_path)
    data = data_of(dense, tmp_path, normal(60, 2, 8, 8, seed=20))
    one, other = (reconstructed(dense, pruned, kept, data, tmp_path)[0] for _ in range(2))
    x = normal(10, 2, 8, 8)
    np.testing.assert_allclose(answers(one, x), answers(other, x), atol=1e-4)


def test_with_too_few_samples_to_hold_some_out_nothing_changes(tmp_path):
    dense, pruned, kept = pair(tmp_path)
    data = data_of(dense, tmp_path, normal(3, 2, 8, 8, seed=20))
    fitted, fits = reconstructed(dense, pruned, kept, data, tmp_path)
    assert not any(fit.accepted for fit in fits)
    x = normal(10, 2, 8, 8)
    np.testing.assert_allclose(answers(fitted, x), answers(pruned, x), atol=1e-5)


def test_a_model_that_lost_nothing_stays_as_it_is(tmp_path):
    dense, _, _ = pair(tmp_path)
    data = data_of(dense, tmp_path, normal(30, 2, 8, 8, seed=20))
    _, fits = reconstructed(dense, dense, lambda _value, _axis: None, data, tmp_path)
    assert {fit.reason for fit in fits} == {"makes what it should"}


def test_matmul_with_a_bias_behind_it_and_a_skip_is_fitted(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m1"], "up"),
        helper.make_node("Add", ["b1", "m1"], ["a1"], "up bias"),
        helper.make_node("Sigmoid", ["a1"], ["g"], "act"),
        helper.make_node("MatMul", ["g", "w2"], ["m2"], "down"),
        helper.make_node("Add", ["m2", "b2"], ["a2"], "down bias"),
        helper.make_node("Add", ["x", "a2"], ["y"], "residual"),
    ]
    stays = np.arange(6)
    full = {
        "w1": normal(4, 10, seed=1),
        "b1": normal(10, seed=2),
        "w2": normal(10, 4, seed=3),
        "b2": normal(4, seed=4),
    }
    less = full | {
        "w1": np.ascontiguousarray(full["w1"][:, stays]),
        "b1": full["b1"][stays],
        "w2": full["w2"][stays],
    }
    shape = ("n", 5, 4)
    dense, pruned = (
        loaded(tmp_path, proto_of(nodes, weights, ("x", shape), ("y", shape)), name)
        for name, weights in (("dense", full), ("pruned", less))
    )
    data = data_of(dense, tmp_path, normal(80, 5, 4, seed=5))
    fitted, fits = reconstructed(
        dense,
        pruned,
        lambda value, axis: stays if (value, axis) == ("a1", -1) else None,
        data,
        tmp_path,
    )
    report = {fit.node: fit for fit in fits}
    assert report["down"].accepted
    x = normal(20, 5, 4, seed=6)
    wanted = answers(dense, x)
    errors = [np.square(answers(model, x) - wanted).mean() for model in (pruned, fitted)]
    assert errors[1] < 0.1 * errors[0]


def test_depthwise_layers_mend_what_drifted_and_shared_weights_stay(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "stem"),
        helper.make_node("Conv", ["c0", "w1"], ["c1"], "depth", group=4),
        helper.make_node("Conv", ["c1", "tied"], ["c2"], "one"),
        helper.make_node("Conv", ["c2", "tied"], ["y"], "two"),
    ]
    full = {
        "w0": weight(4, 2, 1, 1, seed=1),
        "w1": weight(4, 1, 3, 3, seed=2),
        "tied": weight(4, 4, 1, 1, seed=3),
    }
    off = full | {"w1": 0.5 * full["w1"]}
    shapes = ("x", ("n", 2, 8, 8)), ("y", ("n", 4, 6, 6))
    dense = loaded(tmp_path, proto_of(nodes, full, *shapes), "dense")
    pruned = loaded(tmp_path, proto_of(nodes, off, *shapes), "pruned")
    data = data_of(dense, tmp_path, normal(60, 2, 8, 8, seed=5))
    fitted, fits = reconstructed(dense, pruned, lambda _value, _axis: None, data, tmp_path)
    report = {fit.node: fit for fit in fits}
    assert report["depth"].accepted
    assert report["one"].reason == report["two"].reason == "shares its weight with other nodes"
    x = normal(10, 2, 8, 8, seed=6)
    np.testing.assert_allclose(answers(fitted, x), answers(dense, x), atol=5e-3)


def test_a_normalization_gets_the_statistics_of_what_it_reads(tmp_path):
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["c"], "act"),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], "norm"),
    ]
    right = {
        "g": np.array([1, 2, 3], np.float32),
        "b": normal(3, seed=1),
        "m": np.full(3, 0.5, np.float32),
        "v": np.full(3, 0.05, np.float32),
    }
    wrong = right | {"m": right["m"] - 0.3, "v": 4 * right["v"]}
    shape = ("n", 3, 8, 8)
    dense = loaded(tmp_path, proto_of(nodes, right, ("x", shape), ("y", shape)), "dense")
    pruned = loaded(tmp_path, proto_of(nodes, wrong, ("x", shape), ("y", shape)), "pruned")
    data = data_of(dense, tmp_path, normal(60, *shape[1:], seed=5))
    fitted, (fit,) = reconstructed(dense, pruned, lambda _value, _axis: None, data, tmp_path)
    assert (fit.node, fit.accepted) == ("norm", True)
    found = fitted.ir.graph.initializers["m"].const_value.numpy()
    np.testing.assert_allclose(found, 0.5, atol=0.02)


def test_a_sum_that_repeats_its_addend_is_no_target(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "stem"),
        helper.make_node("GlobalAveragePool", ["c0"], ["p"], "pool"),
        helper.make_node("Conv", ["p", "w1", "b1"], ["g"], "gate"),
        helper.make_node("Add", ["c0", "g"], ["y"], "sum"),
    ]
    weights = {
        "w0": weight(4, 2, 1, 1, seed=1),
        "b0": normal(4, seed=2),
        "w1": weight(4, 4, 1, 1, seed=3),
        "b1": normal(4, seed=4),
    }
    shapes = ("x", ("n", 2, 8, 8)), ("y", ("n", 4, 8, 8))
    dense = loaded(tmp_path, proto_of(nodes, weights, *shapes), "dense")
    off = weights | {"b1": weights["b1"] + 1}
    pruned = loaded(tmp_path, proto_of(nodes, off, *shapes), "pruned")
    data = data_of(dense, tmp_path, normal(60, 2, 8, 8, seed=5))
    fitted, _ = reconstructed(dense, pruned, lambda _value, _axis: None, data, tmp_path)
    x = normal(10, 2, 8, 8, seed=6)
    np.testing.assert_allclose(answers(fitted, x), answers(dense, x), atol=5e-2)


def test_of_two_layers_that_add_up_the_deeper_makes_up_for_the_other(tmp_path):
    dense, _, _ = pair(tmp_path)
    graph = dense.ir.graph
    order = fitting_order(graph, list(layers_of(graph)), lambda _value, _axis: None, {"s": "other"})
    found = {layer.node: target for layer, target in order}
    assert [layer.node for layer, _ in order] == ["stem", "first", "short", "second", "head"]
    assert (found["second"].value, found["second"].skip) == ("other", "c3")
    assert found["second"].response == RELU
    assert (found["short"].value, found["short"].skip) == ("c3", None)
    assert found["head"].response is None


def test_weights_in_an_external_file_are_read_where_they_are_needed(tmp_path):
    proto, _ = network(INNER)
    onnx.save(proto, tmp_path / "big.onnx", save_as_external_data=True, size_threshold=0)
    x = normal(8, 2, 8, 8)
    model = ir.load(tmp_path / "big.onnx")
    data = data_of(load(tmp_path / "big.onnx"), tmp_path, x)
    stepwise = Stepwise(model, batches(data, 8, 4), tmp_path)
    stepwise.advance(["r0"])
    stepwise.advance(["y"])
    assert stepwise.read("y", stepwise.parts[0]).shape == (4, 3)
    kinds = {type(value.const_value) for value in model.graph.initializers.values()}
    assert kinds == {ir.ExternalTensor}


def test_values_can_be_read_as_the_model_makes_them(tmp_path):
    dense, _, _ = pair(tmp_path)
    x = normal(23, 2, 8, 8)
    network = Stepwise(dense.ir, batches(data_of(dense, tmp_path, x), 100, 4), tmp_path, 0)
    wanted = answers(dense, x)
    network.advance(["r0"])
    network.advance(["s", "r1"])
    network.advance(["y"])
    assert sum(part.size for part in network.parts) == 23
    found = np.concatenate([network.read("y", part) for part in network.parts if not part.held_out])
    np.testing.assert_allclose(found, wanted[np.arange(23) % 5 != 4], atol=1e-4)
    assert [file.name for file in tmp_path.glob("*.bin")] != []
    network.advance([])
    assert [file.name for file in tmp_path.glob("*.bin")] == []


def test_memory_does_not_grow_with_the_samples(tmp_path):
    def peak(samples):
        model = ir.from_proto(network(INNER)[0])
        folder = tmp_path / str(samples)
        folder.mkdir()
        feeds = (
            Batch(number=number, held_out=False, feeds={"x": normal(16, 2, 8, 8)}, size=16)
            for number in range(samples // 16)
        )
        tracemalloc.start()
        stepwise = Stepwise(model, feeds, folder, memory_bytes=1 << 16)
        for name in ("c1", "s", "y"):
            stepwise.advance([name])
            for part in stepwise.parts:
                stepwise.read(name, part)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(16)
    one_value = (512 - 64) * INNER * 8 * 8 * 4
    assert peak(512) - peak(64) < 0.1 * one_value
