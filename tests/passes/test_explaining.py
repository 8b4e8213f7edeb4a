"""What the pass says of each unit: its loss, why, what was done, and its price."""

import json

import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.measurement import Interval


@pytest.fixture
def explain(small_model, small_data, tmp_path):
    model = graph.load(small_model)

    def run(latencies_of, **params):
        context = passes.Context(
            target=targets.load("x86"),
            data=open_data(small_data, model),
            latencies_of=latencies_of,
            workspace=tmp_path,
        )
        return passes.Quantize(**params).apply(model, context)

    return run


def grids(model):
    return sum(node.op_type == "QuantizeLinear" for node in model.ir.graph)


def timing(cost):
    asked = []

    def latencies_of(models, effort):
        asked.append((effort, len(models)))
        values = [cost(grids(one)) for one in models]
        return [Interval(low=v * 0.99, value=v, high=v * 1.01) for v in values]

    latencies_of.asked = asked
    return latencies_of


def test_each_unit_has_its_loss_cause_and_price(explain):
    measured = timing(lambda count: 1e-3 / (1 + count))
    outcome = explain(measured)
    told = outcome.facts["explained"]
    assert json.loads(json.dumps(told)) == told
    assert set(told) == {"conv1", "conv2", "pool", "head"}
    assert all(one["int8"] and one["why"] and one["now_db"] > 20 for one in told.values())
    losses = [one["loss_db"] for one in told.values()]
    assert losses == sorted(losses)
    assert all(one["saves_us"] >= 0 for one in told.values())
    assert any(one["saves_us"] > 0 for one in told.values())
    assert measured.asked[-1] == ("screen", 1 + len(told))


def test_where_nothing_pays_every_unit_says_so(explain):
    outcome = explain(timing(lambda count: 1.0 + count))
    assert not outcome.changed
    told = outcome.facts["explained"]
    assert all(not one["int8"] for one in told.values())
    assert all("no int8 form is faster" in one["remedy"] for one in told.values())


def test_without_a_device_nothing_has_a_price(explain):
    told = explain(lambda _models, _effort: None).facts["explained"]
    assert all(one["saves_us"] is None for one in told.values())
    assert "slow in int8 by the target's facts" in told["conv1"]["remedy"]


def test_it_can_be_left_out(explain):
    outcome = explain(lambda _models, _effort: None, explain=False)
    assert "explained" not in outcome.facts
