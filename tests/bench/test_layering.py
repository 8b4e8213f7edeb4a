"""Time by layer, on this machine."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import bench, graph
from edgekit.agent.layers import nodes_of
from edgekit.bench import divergence
from edgekit.bench.layering import middle_mean
from edgekit.dataset import open_data


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """Two convolutions with a Relu each, a mean and a product; no node has a name."""
    random = np.random.default_rng(0)
    shapes = {"a": (16, 3, 3, 3), "b": (16, 16, 3, 3), "m": (16, 4)}
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["t0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t0"], ["t1"]),
        helper.make_node("Conv", ["t1", "b"], ["t2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t2"], ["t3"]),
        helper.make_node("ReduceMean", ["t3"], ["t4"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["t4", "m"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        weights,
    )
    file = tmp_path_factory.mktemp("convolutions") / "model.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), file)
    return file


@pytest.fixture(scope="module")
def found(convolutions):
    from edgekit import target as targets
    from edgekit.bench import Running
    from edgekit.devices import open_device

    running = Running(target=targets.load("x86"), shapes={"x": (2, 3, 16, 16)})
    with open_device("local") as device:
        return bench.layers(device, graph.load(convolutions), convolutions, running)


def test_every_node_of_the_model_is_in_one_layer_with_its_cost(found):
    held = [name for layer in found.layers for name in layer.holds]
    assert sorted(held) == ["Conv_0", "Conv_1", "MatMul_0", "ReduceMean_0", "Relu_0", "Relu_1"]
    by_node = {name: layer for layer in found.layers for name in layer.holds}
    assert by_node["Conv_1"].macs == 2 * 16 * 16 * 16 * 16 * 9
    assert by_node["Conv_1"] is by_node["Relu_1"]
    assert by_node["MatMul_0"].bytes == 4 * (2 * 16 + 16 * 4 + 2 * 4)
    assert not by_node["MatMul_0"].integer


def test_times_and_peaks_are_there(found):
    assert all(layer.seconds >= 0 for layer in found.layers)
    assert found.run_s > 0
    assert found.runs >= 10
    assert found.roofline.macs_per_s > 0
    assert found.roofline.integer_macs_per_s > 0
    assert found.roofline.bytes_per_s > 0


def test_a_profile_is_summed_by_run_without_the_warm_ones():
    def event(name, dur, **args):
        return {"cat": "Node", "name": name, "dur": dur, "args": args}

    said = {"op_name": "Conv", "provider": "CPUExecutionProvider"}
    events = [{"cat": "Session", "name": "model_run", "dur": 99}]
    for run in range(4):
        events.append(event("c_kernel_time", 10 + run, **said))
        events += [event("body_kernel_time", 1, **said), event("body_kernel_time", 2, **said)]
    found = nodes_of(events, runs=4, warm=1)
    assert [(node.name, node.us) for node in found] == [("c", [11, 12, 13]), ("body", [3, 3, 3])]


def test_the_mean_of_the_middle_is_finer_than_a_median():
    assert middle_mean([3, 3, 3, 4, 4, 4, 90, 1]) == 3.5


def test_outputs_of_one_machine_do_not_differ_from_themselves(device, small, running, tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, x=np.random.default_rng(0).random((3, 64), np.float32))
    data = open_data(file, graph.load(small.file))
    assert bench.output_difference(device, device, small.file, data, target=running.target) == 0


def test_outputs_that_differ_are_told(device, small, running, tmp_path, monkeypatch):
    file = tmp_path / "data.npz"
    np.savez(file, x=np.ones((3, 64), np.float32))
    data = open_data(file, graph.load(small.file))
    outputs = iter(([np.array([[2.0, 1.0]])], [np.array([[2.0, 1.5]])]))
    monkeypatch.setattr(divergence, "evaluate", lambda *_, **__: next(outputs))
    apart = bench.output_difference(device, device, small.file, data, target=running.target)
    assert apart == 0.25
