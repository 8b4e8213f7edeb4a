"""The pass prune from end to end on a small residual network."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.errors import UsageError
from edgekit.measurement import Interval
from edgekit.passes import Context, shortening

SHAPES = {"x": (1, 3, 8, 8)}
BLOCKS = 3


def residual_network(fading=0.5):
    """A stem, three residual blocks each of which changes less than the one before, and a head."""
    rng = np.random.default_rng(0)

    def weight(name, *shape, scale=1.0):
        values = rng.standard_normal(shape) * scale * (2.0 / np.prod(shape[1:])) ** 0.5
        return numpy_helper.from_array(values.astype("f4"), name)

    weights = [weight("w", 16, 3, 3, 3), weight("b", 16)]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["h0"], "relu"),
    ]
    for i in range(BLOCKS):
        weights += [
            weight(f"w{i}1", 16, 16, 3, 3),
            weight(f"b{i}1", 16),
            weight(f"w{i}2", 16, 16, 3, 3, scale=fading**i),
            weight(f"b{i}2", 16, scale=0.2 * fading),
        ]
        names = [f"h{i}", f"w{i}1", f"b{i}1"], [f"r{i}", f"w{i}2", f"b{i}2"]
        nodes += [
            helper.make_node("Conv", names[0], [f"c{i}"], f"conv{i}1", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}1"),
            helper.make_node("Conv", names[1], [f"d{i}"], f"conv{i}2", pads=[1, 1, 1, 1]),
            helper.make_node("Add", [f"h{i}", f"d{i}"], [f"s{i}"], f"add{i}"),
            helper.make_node("Relu", [f"s{i}"], [f"h{i + 1}"], f"relu{i}2"),
        ]
    weights += [weight("v", 10, 16), weight("z", 10)]
    nodes += [
        helper.make_node("GlobalAveragePool", [f"h{BLOCKS}"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "v", "z"], ["y"], "head", transB=1),
    ]
    made = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return graph.Model(ir=ir.from_proto(proto), name="residual")


@pytest.fixture(scope="module")
def model():
    return residual_network()


@pytest.fixture
def context(model, tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((160, 3, 8, 8)).astype("f4"))
    return Context(
        target=targets.load("x86"),
        data=open_data(tmp_path / "data.npz", model),
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
        shapes=SHAPES,
    )


def macs(model):
    return graph.costs(model, SHAPES).macs


def test_half_of_the_work_goes_and_refitting_gives_answers_back(model, context):
    refitted = passes.Prune(keep_macs=0.5).apply(model, context)
    sliced = passes.Prune(keep_macs=0.5, reconstruct=False).apply(model, context)
    for outcome in (refitted, sliced):
        assert macs(outcome.model) <= 0.5 * macs(model)
        assert outcome.facts["multiply-adds kept"] == pytest.approx(
            macs(outcome.model) / macs(model), abs=1e-4
        )
    changes = [one.facts["change of held-out outputs"] for one in (refitted, sliced)]
    assert changes[0] < 0.5 * changes[1]
    assert refitted.facts["layers refitted"] > 0
    (pinned,) = (skip for skip in refitted.skipped if skip.where == "head")
    assert "graph output" in pinned.reason
    assert not [*context.workspace.glob("prune*")]


def test_rounds_reach_the_same_budget(model, context):
    outcome = passes.Prune(keep_macs=0.5, rounds=2, schedule="polynomial").apply(model, context)
    assert macs(outcome.model) <= 0.5 * macs(model)
    assert all("->" in text for text in outcome.facts["counts"].values())


def test_parameters_are_a_budget_too(model, context):
    outcome = passes.Prune(keep_params=0.6, criterion="l2").apply(model, context)
    assert graph.costs(outcome.model, SHAPES).parameters <= 0.61 * (
        graph.costs(model, SHAPES).parameters
    )


def test_whole_blocks_go(model, context):
    outcome = passes.Prune(keep_macs=0.7, granularity="blocks").apply(model, context)
    assert macs(outcome.model) <= 0.7 * macs(model)
    adds = sum(node.op_type == "Add" for node in outcome.model.ir.graph)
    assert adds == BLOCKS - 1
    (gone,) = outcome.facts["blocks removed"]
    assert gone in {"add1", "add2"}
    fewer = passes.Prune(keep_params=0.7, granularity="blocks").apply(model, context)
    assert graph.costs(fewer.model, SHAPES).parameters <= 0.7 * (
        graph.costs(model, SHAPES).parameters
    )


def test_blocks_that_take_long_to_try_are_told(model, context, monkeypatch):
    monkeypatch.setattr(shortening, "_LONGEST_S", 0.0)
    asked = passes.Prune(keep_macs=0.5, criterion="l2", reconstruct=False)
    outcome = asked.apply(model, context)
    assert outcome.facts["blocks removed"] == []
    (told,) = (skip for skip in outcome.skipped if skip.where == "residual blocks")
    assert "trying all 3 would take" in told.reason
    channels = replace(asked, granularity="channels")
    assert shortening.blocks_to_try(channels, context, model) == ((), ())


def test_blocks_go_where_channels_do_not_reach(model, context):
    outcome = passes.Prune(keep_macs=0.5, ignore=("conv*",)).apply(model, context)
    assert macs(outcome.model) <= 0.5 * macs(model)
    assert set(outcome.facts["blocks removed"]) <= {"add0", "add1", "add2"}
    assert "16 -> 0" in outcome.facts["counts"].values()
    with pytest.raises(UsageError, match="cannot be reached by removing channels"):
        passes.Prune(keep_macs=0.5, ignore=("conv*",), granularity="channels").apply(model, context)


def test_a_block_goes_where_that_changes_less_than_channels_do(context):
    model, change = residual_network(fading=0.1), "change of held-out outputs"
    outcome = passes.Prune(keep_macs=0.4).apply(model, context)
    channels = passes.Prune(keep_macs=0.4, granularity="channels").apply(model, context)
    assert outcome.facts["blocks removed"] == ["add2"]
    assert channels.facts["blocks removed"] == []
    assert outcome.facts[change] < channels.facts[change]


def test_latency_is_reached_by_what_was_measured(model, context):
    """A device on which time is what the multiply-adds are."""

    def latencies_of(models, _effort):
        found = [macs(one) * 1e-9 for one in models]
        return [Interval(low=s, value=s, high=s, confidence=0.95) for s in found]

    limit_s = 0.6 * macs(model) * 1e-9
    timed = replace(context, latencies_of=latencies_of)
    outcome = passes.Prune(max_latency_s=limit_s).apply(model, timed)
    assert macs(outcome.model) * 1e-9 <= limit_s
    with pytest.raises(UsageError, match="within the budget already"):
        passes.Prune(max_latency_s=10 * limit_s).apply(model, timed)
    with pytest.raises(UsageError, match="only be reached where it is measured"):
        passes.Prune(max_latency_s=limit_s).apply(model, context)


def test_without_samples_weights_decide_and_nothing_is_refitted(model, context):
    blind = replace(context, data=None)
    outcome = passes.Prune(keep_macs=0.5, criterion="l2").apply(model, blind)
    assert macs(outcome.model) <= 0.5 * macs(model)
    assert outcome.facts["layers refitted"] == 0
    with pytest.raises(UsageError, match="looks at activations"):
        passes.Prune(keep_macs=0.5).apply(model, blind)


def test_what_cannot_be_meant_is_refused(model, context):
    with pytest.raises(UsageError, match="unknown granularity"):
        passes.Prune(keep_macs=0.5, granularity="atoms").apply(model, context)
    with pytest.raises(UsageError, match="unknown schedule"):
        passes.Prune(keep_macs=0.5, schedule="cosine").apply(model, context)
    with pytest.raises(UsageError, match="no single ratios"):
        passes.Prune(ratios={"conv01": 0.5}, granularity="blocks").apply(model, context)


def test_single_ratios_are_cut_once_whatever_the_rounds(model, context):
    outcome = passes.Prune(ratios={"conv01": 0.5}, rounds=2).apply(model, context)
    assert outcome.facts["counts"] == {"conv01": "16 -> 8"}
