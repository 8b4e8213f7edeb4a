import json

import onnx_ir as ir
import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.errors import CalibrationError
from edgekit.linting import lint
from edgekit.measurement import Interval


@pytest.fixture(scope="module")
def model(small_model):
    return graph.load(small_model)


def grids(model):
    return sum(node.op_type == "QuantizeLinear" for node in model.ir.graph)


def latencies(cost):
    """Latencies from a function of the number of grids in the model."""
    asked = []

    def of(models, effort):
        asked.append((effort, len(models)))
        values = [cost(grids(one)) for one in models]
        return [Interval(low=v * 0.99, value=v, high=v * 1.01) for v in values]

    of.asked = asked
    return of


@pytest.fixture
def apply(model, small_data, tmp_path):
    def run(latencies_of, name="x86", **params):
        context = passes.Context(
            target=targets.load(name),
            data=open_data(small_data, model),
            latencies_of=latencies_of,
            workspace=tmp_path,
        )
        return passes.Quantize(**{"explain": False, **params}).apply(model, context)

    return run


def test_where_int8_pays_everything_is_int8(apply):
    measured = latencies(lambda count: 1.0 / (1 + count))
    outcome = apply(measured)
    assert outcome.changed
    assert outcome.facts["placement"] == "measured"
    assert outcome.facts["quantized units"] == outcome.facts["units"] == 4
    assert outcome.facts["share of multiply-adds in int8"] == 1.0
    assert outcome.facts["share of quantized units that are int8 kernels"] == 1.0
    assert outcome.facts["calibration samples"] == 96
    assert measured.asked[-1][0] == "decide"
    assert lint(outcome.model, targets.load("x86")) == ()


def test_where_int8_never_pays_the_model_stays_as_it_is(apply, model):
    outcome = apply(latencies(lambda count: 1.0 + count))
    assert not outcome.changed
    assert outcome.model is model
    assert "faster than float" in outcome.skipped[0].reason


def test_without_a_device_the_targets_facts_decide(apply):
    outcome = apply(lambda _models, _effort: None)
    assert outcome.facts["placement"] == "target facts"
    reasons = {skip.where: skip.reason for skip in outcome.skipped}
    assert "slow in int8 by the target's facts" in reasons["conv1"]


def test_everything_is_placed_where_no_device_is_asked(apply):
    asked = []
    outcome = apply(lambda models, _effort: asked.append(models), placement="all")
    assert outcome.facts["placement"] == "all"
    assert outcome.facts["quantized units"] == outcome.facts["units"] == 4
    assert not asked


@pytest.mark.parametrize(("name", "stored"), [("x86", 3), ("jetson", 0)])
def test_4_bits_are_stored_where_the_runtime_widens_them(apply, name, stored):
    outcome = apply(
        lambda _models, _effort: None, name, placement="all", weight_bits=4, min_sqnr_db=0.0
    )
    assert outcome.facts["weight bits"] == 4
    kinds = [value.dtype for value in outcome.model.ir.graph.initializers.values()]
    assert kinds.count(ir.DataType.INT4) == stored


def test_what_was_tried_for_accuracy_is_told(apply):
    facts = apply(lambda _models, _effort: None, placement="all").facts
    tried = facts["accuracy techniques"]
    assert "rounding" in tried
    for found in tried.values():
        before, after = found["sqnr_db"]
        assert found["kept"] <= (after > before)
        assert bool(found["units"]) == found["kept"]


def test_outputs_that_cannot_be_kept_leave_the_model_alone(apply, model):
    outcome = apply(latencies(lambda count: 1.0 / (1 + count)), min_sqnr_db=150.0)
    assert outcome.model is model
    assert "within the limits" in outcome.skipped[0].reason
    assert len(outcome.skipped) > 1


def test_facts_are_json(apply):
    facts = apply(lambda _models, _effort: None).facts
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy", "mse"])
def test_each_method_reaches_the_plan(apply, method):
    facts = apply(lambda _models, _effort: None, method=method, min_sqnr_db=0.0).facts
    name = "p99.99" if method == "percentile" else method
    assert set(facts["range methods"]) == {name}


def test_two_runs_give_the_same_model(apply):
    first, second = (apply(lambda _models, _effort: None) for _ in range(2))
    assert [n.name for n in first.model.ir.graph] == [n.name for n in second.model.ir.graph]
    for name, value in first.model.ir.graph.initializers.items():
        other = second.model.ir.graph.initializers[name].const_value
        assert value.const_value.numpy().tobytes() == other.numpy().tobytes()


def test_no_data_is_said(model, tmp_path):
    context = passes.Context(
        target=targets.load("x86"),
        data=None,
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
    )
    with pytest.raises(CalibrationError, match=r"no data to calibrate with; give .*--data"):
        passes.Quantize().apply(model, context)
