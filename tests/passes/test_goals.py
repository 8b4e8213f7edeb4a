"""Rounds of pruning, and what each aims at."""

from dataclasses import replace

import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.errors import UsageError
from edgekit.measurement import Interval
from edgekit.passes.goals import Goals


@pytest.fixture
def dense(small_model):
    return graph.load(small_model)


@pytest.fixture
def context(tmp_path):
    """A device that takes a microsecond for a hundred multiply-adds."""
    shapes = {"x": (1, 3, 16, 16)}

    def latencies_of(models, _effort):
        found = [graph.costs(model, shapes).macs * 1e-8 for model in models]
        return [Interval(low=s, value=s, high=s, confidence=0.95) for s in found]

    return passes.Context(
        target=targets.load("x86"),
        data=None,
        latencies_of=latencies_of,
        workspace=tmp_path,
        shapes=shapes,
    )


def smaller(dense, context):
    """Three quarters or less of the multiply-adds are left."""
    step = passes.Prune(keep_macs=0.75, criterion="l2")
    return step.apply(dense, replace(context, latencies_of=lambda *_: None)).model


@pytest.mark.parametrize("name", ["keep_macs", "keep_params", "max_latency_s"])
def test_rounds_take_ever_less_and_end_at_the_budget(dense, context, name):
    (whole_s,) = context.seconds_of([dense], "decide")
    whole = whole_s if name == "max_latency_s" else 1.0
    given = {"dense": dense, "budget": {name: 0.4 * whole}, "context": context}
    assert Goals(**given, rounds=1).limits() == (0.4 * whole,)
    first, second, third = Goals(**given, rounds=3).limits()
    assert third == pytest.approx(0.4 * whole)
    assert whole - first > first - second > second - third > 0


def test_each_round_counts_from_what_is_left(dense, context):
    model = smaller(dense, context)
    left = graph.costs(model, context.shapes)
    for name, kept in (
        ("keep_macs", left.macs / graph.costs(dense, context.shapes).macs),
        ("keep_params", left.parameters / graph.costs(dense, context.shapes).parameters),
    ):
        goals = Goals(dense=dense, budget={name: 0.1}, rounds=2, context=context)
        assert getattr(goals.step(0.1, dense), name) == 0.1
        assert getattr(goals.step(0.1, model), name) == pytest.approx(0.1 / kept)
        assert goals.step(kept, model) is None
    found = goals.kept(model)
    assert found["parameters kept"] == pytest.approx(kept, abs=1e-4)


def test_a_latency_is_aimed_at_as_it_is_and_measured(dense, context):
    model = smaller(dense, context)
    (seconds,) = context.seconds_of([model], "decide")
    goals = Goals(dense=dense, budget={"max_latency_s": seconds / 2}, rounds=2, context=context)
    assert goals.step(seconds / 2, model).max_latency_s == seconds / 2
    assert goals.step(2 * seconds, model) is None
    deviceless = replace(context, latencies_of=lambda *_: None)
    with pytest.raises(UsageError, match=r"--max-latency: .*or name a device"):
        replace(goals, context=deviceless).limits()


def test_a_limit_above_what_the_model_takes_is_for_the_first_round_to_refuse(dense, context):
    goals = Goals(dense=dense, budget={"max_latency_s": 9.0}, rounds=3, context=context)
    assert goals.limits() == (9.0,)
