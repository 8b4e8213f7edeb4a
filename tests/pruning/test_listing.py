"""Groups as people read them: who makes and reads them, what half would save, what is pinned."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit
from edgekit import graph
from edgekit.pruning.analysis import couple
from edgekit.pruning.blocks import Block
from edgekit.pruning.listing import listed
from edgekit.pruning.preparing import prepared


@pytest.fixture(scope="module")
def coupling(small_model):
    return couple(prepared(graph.load(small_model)), {"x": (1, 3, 16, 16)})


def test_each_group_names_its_makers_and_readers(coupling):
    found = {group.name: group for group in listed(coupling).groups}
    assert list(found) == ["conv1", "conv2", "head"]
    assert found["conv1"].made_by == ("conv1",)
    assert found["conv1"].read_by == ("conv2",)
    assert found["conv2"].read_by == ("head",)
    assert [found[name].channels for name in found] == [16, 32, 10]


def test_half_saves_what_the_shapes_say(coupling):
    conv1, conv2, head = listed(coupling).groups
    pixels = 16 * 16
    assert conv1.half == 8
    assert conv1.half_saves_macs == pixels * 9 * (8 * 3 + 8 * 32)
    assert conv1.half_saves_parameters == 9 * (8 * 3 + 8 * 32) + 8
    assert conv2.half_saves_macs == pixels * 9 * 16 * 16 + 16 * 10
    assert conv2.half_saves_parameters == 9 * 16 * 16 + 16 + 16 * 10
    assert head.pinned_by is not None


def test_the_whole_is_what_the_costs_say(coupling, small_model):
    found = listed(coupling)
    costs = graph.costs(graph.load(small_model), {"x": (1, 3, 16, 16)})
    assert (found.macs, found.parameters) == (costs.macs, costs.parameters)
    assert 0 < found.least_macs < found.macs
    assert 0 < found.least_parameters < found.parameters


def test_half_is_rounded_to_what_kernels_like(coupling):
    halves = {group.name: group.half for group in listed(coupling, multiple=12).groups}
    assert halves["conv2"] == 12
    assert halves["conv1"] in {3, 6}


def test_channel_groups_lists_what_prune_sees(small_model):
    found = edgekit.channel_groups(small_model, target="x86")
    assert found.multiple == 16
    assert {group.name for group in found.groups if group.pinned_by is None} == {"conv1", "conv2"}
    assert edgekit.inspect(small_model, groups=True, target="x86").groups == found
    assert edgekit.inspect(small_model).groups is None


def test_a_model_with_nothing_to_prune_says_so(tmp_path):
    weight = numpy_helper.from_array(np.eye(4, dtype="f4"), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y"))
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "only")], "one", [x], [y], [weight]
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(made, opset_imports=[opset], ir_version=9), tmp_path / "m.onnx")
    found = edgekit.channel_groups(tmp_path / "m.onnx", target="x86")
    assert all(group.pinned_by is not None for group in found.groups)
    assert found.least_macs == found.macs


def test_blocks_are_listed_with_what_they_save(coupling):
    block = Block(name="add", entry="x", exit="y", nodes=("conv", "add"), macs=7)
    (found,) = listed(coupling, blocks=[block]).blocks
    assert (found.name, found.nodes, found.saves_macs) == ("add", ("conv", "add"), 7)


def mlp(neurons):
    """Two matrix products with a Relu between them."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y"))
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "up"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "down"),
    ]
    weights = [
        numpy_helper.from_array(np.ones((4, neurons), "f4"), "w1"),
        numpy_helper.from_array(np.ones((neurons, 4), "f4"), "w2"),
    ]
    made = helper.make_graph(nodes, "mlp", [x], [y], weights)
    opset = helper.make_opsetid("", 17)
    proto = helper.make_model(made, opset_imports=[opset], ir_version=9)
    return couple(graph.Model(ir=ir.from_proto(proto), name="mlp"), {"x": (1, 4)})


def test_matrix_products_are_rounded_less_coarsely_than_convolutions():
    neurons = 24
    (group,) = (g for g in listed(mlp(neurons), multiple=16).groups if g.pinned_by is None)
    assert group.half == neurons // 2
