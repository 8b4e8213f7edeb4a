"""The passes that train, on a small network."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.errors import UnreachableError, UsageError, WithinBudgetError
from edgekit.passes import Outcome, student
from edgekit.passes.goals import Goals

pytest.importorskip("torch")


@pytest.fixture
def model(small_model):
    return graph.load(small_model)


@pytest.fixture
def context(model, small_data, tmp_path):
    return passes.Context(
        target=targets.load("x86"),
        data=open_data(small_data, model),
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
        shapes={"x": (1, 3, 16, 16)},
        original=model,
    )


def serialized(model):
    return ir.to_proto(model.ir).SerializeToString(deterministic=True)


def test_a_changed_model_learns_the_originals_answers(model, context, tmp_path):
    edited = model.editable()
    head = edited.graph.initializers["w3"]
    head.const_value = ir.tensor(head.const_value.numpy() * np.float32(0.5), name="w3")
    changed = graph.Model(ir=edited, name="changed")
    before = serialized(changed)
    outcome = passes.Finetune(epochs=8, learning_rate=3e-3).apply(changed, context)
    assert outcome.changed
    assert serialized(changed) == before
    facts = outcome.facts
    assert facts["held-out distance"] < facts["held-out distance at the start"]
    assert outcome.model.outputs == model.outputs
    assert not list(tmp_path.glob("training"))


def test_without_another_model_there_is_nothing_to_learn(model, context):
    for original in (model, None):
        outcome = passes.Finetune().apply(model, replace(context, original=original))
        assert outcome.model is model
        assert "goes behind prune" in outcome.skipped[0].reason


@pytest.mark.slow
def test_a_student_is_smaller_and_has_learnt(model, context):
    before = serialized(model)
    outcome = passes.Student(keep_macs=0.7, epochs=2, learning_rate=1e-3).apply(model, context)
    assert outcome.changed
    assert serialized(model) == before
    before, after = (graph.costs(one, context.shapes) for one in (model, outcome.model))
    assert after.macs <= 0.7 * before.macs
    assert outcome.facts["multiply-adds kept"] <= 0.7
    assert "held-out distance" in outcome.facts


@pytest.mark.parametrize("refusal", [WithinBudgetError, UnreachableError])
def test_a_round_that_cannot_go_on_leaves_what_was_learnt(model, context, monkeypatch, refusal):
    """A latency is measured anew in each round, and may say that the model is there already."""
    edited = model.editable()
    smaller = graph.Model(ir=edited, name="smaller")
    asked = []

    def apply(_step, of, _context):
        asked.append(of)
        if len(asked) > 1:
            raise refusal("cannot go on", where="prune")
        return Outcome(model=smaller, changed=True)

    monkeypatch.setattr(passes.Prune, "apply", apply)
    monkeypatch.setattr(student, "learnt", lambda of, *_: Outcome(model=of, changed=True))
    monkeypatch.setattr(Goals, "step", lambda *_: passes.Prune(keep_macs=0.5))
    asking = passes.Student(keep_macs=0.5, rounds=3)
    outcome = asking.apply(model, context)
    assert outcome.changed
    assert outcome.model is smaller
    assert [one.reason for one in outcome.skipped] == ["prune: cannot go on"]
    with pytest.raises(refusal):
        asking.apply(model, context)


@pytest.mark.slow
def test_a_student_is_pruned_in_rounds_and_learns_after_each(model, context):
    outcome = passes.Student(keep_macs=0.5, rounds=2, epochs=1).apply(model, context)
    before, after = (graph.costs(one, context.shapes) for one in (model, outcome.model))
    assert outcome.facts["multiply-adds kept"] == pytest.approx(after.macs / before.macs, abs=1e-3)
    assert after.macs <= 0.5 * before.macs
    with pytest.raises(UsageError, match=r"student.rounds: out of range"):
        passes.Student(keep_macs=0.5, rounds=0)
