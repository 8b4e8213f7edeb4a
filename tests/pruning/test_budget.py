"""What channels cost, counted without building the smaller graph, is what it costs."""

import re

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.errors import UnreachableError
from edgekit.graph import Model
from edgekit.pruning.analysis import couple
from edgekit.pruning.budget import macs_cost, macs_left, parameters_cost, parameters_left
from edgekit.pruning.preparing import prepared
from edgekit.pruning.surgery import removed

N = helper.make_node
SHAPES = {"x": (2, 3, 8, 8), "s": (2, 5, 12)}


def network():
    """Residual and grouped convolutions, a flattened classifier; attention beside a GRU."""
    nodes = [
        N("Conv", ["x", "w1", "b1"], ["a"], "stem", pads=[1, 1, 1, 1]),
        N("Conv", ["a", "w2"], ["b"], "deep", pads=[1, 1, 1, 1], group=16),
        N("Conv", ["b", "w3"], ["c"], "point"),
        N("Add", ["a", "c"], ["d"], "skip"),
        N("Conv", ["d", "w4"], ["e"], "grouped", group=2),
        N("ConvTranspose", ["e", "w5"], ["f"], "up", strides=[2, 2]),
        N("MaxPool", ["f"], ["g"], "pool", kernel_shape=[4, 4], strides=[4, 4]),
        N("Flatten", ["g"], ["h"], "flat"),
        N("Gemm", ["h", "w6", "b6"], ["y"], "head"),
        N("MatMul", ["s", "wq"], ["q"], "query"),
        N("MatMul", ["s", "wk"], ["k"], "key"),
        N("Transpose", ["k"], ["kt"], "turn", perm=[0, 2, 1]),
        N("MatMul", ["q", "kt"], ["z"], "scores"),
        N("Transpose", ["s"], ["t"], "time", perm=[1, 0, 2]),
        N("GRU", ["t", "w", "r"], ["", "n"], "gru", hidden_size=8),
        N("MatMul", ["n", "w7"], ["m"], "last"),
    ]
    weights = {
        "w1": (16, 3, 3, 3), "b1": (16,), "w2": (16, 1, 3, 3), "w3": (16, 16, 1, 1),
        "w4": (8, 8, 3, 3), "w5": (8, 6, 2, 2), "w6": (54, 4), "b6": (4,), "wq": (12, 10),
        "wk": (12, 10), "w": (1, 24, 12), "r": (1, 24, 8), "w7": (8, 5),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    proto = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in SHAPES.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yzm"],
        [
            numpy_helper.from_array(rng.standard_normal(shape).astype("f4"), name)
            for name, shape in weights.items()
        ],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return prepared(Model(ir=ir.from_proto(model), name="g"))


def test_what_a_budget_counts_is_what_the_smaller_graph_costs():
    coupling = couple(network(), SHAPES)
    groups = coupling.free
    macs, parameters = macs_cost(coupling, groups), parameters_cost(coupling, groups)
    dense = graph.costs(coupling.model, SHAPES)
    assert (macs.dense, parameters.dense) == (dense.macs, dense.parameters)
    rng = np.random.default_rng(1)
    keep = coupling.everything()
    for share in (1.0, 0.75, 0.5, 0.25):
        counts = np.array([max(1, int(share * len(group.channels))) for group in groups])
        for group, count in zip(groups, counts, strict=True):
            keep[group.channels] = False
            keep[rng.permutation(group.channels)[:count]] = True
        expected = graph.costs(removed(coupling, keep), SHAPES)
        assert macs.total(counts) == pytest.approx(expected.macs, rel=1e-9)
        assert parameters.total(counts) == pytest.approx(expected.parameters, rel=1e-9)
        assert macs_left(coupling, keep) == pytest.approx(expected.macs, rel=1e-9)
        assert parameters_left(coupling, keep) == pytest.approx(expected.parameters, rel=1e-9)
    assert not keep.all()


def halves():
    """Two halves of one convolution's channels; the half that looks expendable costs little."""
    nodes = [
        N("Conv", ["x", "w1"], ["a"], "stem"),
        N("Split", ["a", "sizes"], ["b", "c"], "parts", axis=1),
        N("Conv", ["b", "w2"], ["y"], "wide"),
        N("Conv", ["c", "w3"], ["z"], "narrow"),
    ]
    rng = np.random.default_rng(3)
    shapes = {"w1": (32, 3, 1, 1), "w2": (64, 16, 3, 3), "w3": (8, 16, 1, 1)}
    weights = {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    weights["w1"][16:] *= 0.01
    proto = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"],
        [
            numpy_helper.from_array(value, name)
            for name, value in {**weights, "sizes": np.array([16, 16])}.items()
        ],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return Model(ir=ir.from_proto(model), name="halves")


def pruned(model, share, folder):
    context = passes.Context(
        target=targets.load("arm-cpu"),
        data=None,
        latencies_of=lambda _models, _effort: None,
        workspace=folder,
        shapes={"x": (1, 3, 8, 8)},
    )
    outcome = passes.Prune(keep_macs=share, criterion="l2").apply(model, context)
    before, after = (graph.costs(one, context.shapes).macs for one in (model, outcome.model))
    return after / before


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_a_share_is_kept_by_the_model_that_is_left(tmp_path, share):
    assert pruned(halves(), share, tmp_path) <= 1.001 * share


def test_a_share_that_is_out_of_reach_is_refused_with_what_can_be_had(tmp_path):
    with pytest.raises(UnreachableError, match=r"found 30\.0%.*at least (\d+\.\d)%") as caught:
        pruned(halves(), 0.3, tmp_path)
    least = float(re.search(r"at least (\d+\.\d)%", str(caught.value))[1]) / 100
    assert pruned(halves(), least + 0.001, tmp_path) <= least + 0.002
