import pytest
from planted import BODIES, case_of

from edgekit import graph, native, passes
from edgekit import target as targets
from edgekit.activations import stream
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization import emit, observer_of, plan_of


@pytest.mark.parametrize("body", BODIES, ids=lambda one: one.__name__)
def test_a_planted_outlier_costs_at_most_a_point(body, tmp_path):
    case = case_of(body, tmp_path)
    target = targets.load("x86")
    watching, names, empty = observer_of(infer_shapes(case.model))
    graph.save(watching, tmp_path / "observed.onnx")
    seen = native.call("calibrating", stream, tmp_path / "observed.onnx", case.data, names, empty)
    plain = plan_of(case.model.ir.graph, seen, method="min-max")
    every = frozenset(unit.name for unit in plain.units)
    assert case.lost_pt(emit(case.model, plain, target, every), tmp_path) >= 5

    context = passes.Context(
        target=target,
        data=case.data,
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
    )
    outcome = passes.Quantize(placement="all").apply(case.model, context)
    assert outcome.facts["quantized units"] == outcome.facts["units"] == len(every)
    assert case.lost_pt(outcome.model, tmp_path) <= 1
