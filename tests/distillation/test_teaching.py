"""What one or several teachers answer; asked in this process."""

from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.dataset import held_out
from edgekit.distillation import agreement
from edgekit.distillation.answers import Question, Teacher
from edgekit.distillation.packing import pack
from edgekit.distillation.panel import Panel
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.teaching import ask
from edgekit.distillation.views import views_of
from edgekit.errors import UsageError


@pytest.fixture
def asked(data, tmp_path):
    """Ask teachers about the data, by a recipe."""

    def question(models, **recipe):
        given = Recipe(**recipe)
        kept, out = held_out(data)
        train, held = pack(kept, tmp_path / "train"), pack(out, tmp_path / "held")
        names = {"x": "x"}, {"logits": "logits"}
        teachers = []
        for place, model in enumerate(models):
            file = tmp_path / f"{place}.onnx"
            graph.save(model, file)
            weight = given.teacher_weights[place] if given.teacher_weights else 1.0
            teachers.append(Teacher(file=file, inputs=names[0], outputs=names[1], weight=weight))
        folder = tmp_path / "answers"
        folder.mkdir(exist_ok=True)
        return ask(
            Question(
                teachers=tuple(teachers),
                student=teachers[0],
                data=data,
                train=train,
                held=held,
                views=views_of(train, len(kept), 3 if given.augment else 1, 0),
                recipe=given,
                folder=folder,
            )
        )

    return question


def answers(lessons, view=0):
    return np.array(lessons.train[view][0]["logits"].open())


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_each_view_is_answered_by_itself(asked, make):
    lessons = asked([make(8, 0)])
    assert len(lessons.train) == lessons.views.count == 3
    plain, other = answers(lessons), answers(lessons, 1)
    assert plain.shape == other.shape
    assert not np.allclose(plain, other)
    taught = lessons.outputs["logits"]
    assert (taught.kind, taught.loss) == ("scores", "mse")
    assert taught.variance == pytest.approx(plain.var(0).mean(), rel=1e-4)


def test_several_answer_by_their_mean(asked, make):
    one, other = make(8, 0), make(8, 3)
    alone = [answers(asked([model], augment=False)) for model in (one, other)]
    even = answers(asked([one, other], augment=False))
    weighted = answers(asked([one, other], augment=False, teacher_weights=(3.0, 1.0)))
    np.testing.assert_allclose(even, (alone[0] + alone[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(weighted, (3 * alone[0] + alone[1]) / 4, atol=1e-5)


def test_softened_classes_are_mixed_where_those_are_learnt(asked, make):
    models = [make(8, 0), make(8, 3)]
    alone = [answers(asked([model], augment=False)) for model in models]
    mixed = answers(asked(models, augment=False, loss="kl", temperature=4.0))
    wanted = (softmax(alone[0] / 4) + softmax(alone[1] / 4)) / 2
    np.testing.assert_allclose(softmax(mixed / 4), wanted, atol=1e-5)


def test_who_is_sure_counts_for_more(asked, make):
    sure, unsure = make(8, 0), make(8, 3)
    head = unsure.ir.graph.initializers["w3"]
    head.const_value = ir.tensor(head.const_value.numpy() * 0, name="w3")
    alone = answers(asked([sure], augment=False))
    doubt = answers(asked([unsure], augment=False))
    found = answers(asked([sure, unsure], augment=False, combination="confidence"))
    share = np.linalg.norm(found - doubt) / np.linalg.norm(alone - doubt)
    assert 0.55 < share < 1


def test_probabilities_are_kept_as_logarithms(asked, make):
    lessons = asked([make(8, 0, probabilities=True)], augment=False)
    assert (lessons.outputs["logits"].kind, lessons.outputs["logits"].loss) == (
        "probabilities",
        "kl",
    )
    np.testing.assert_allclose(np.exp(answers(lessons)).sum(-1), 1, atol=1e-3)


@pytest.mark.parametrize("classes", [2, 10])
def test_agreement_tells_how_often_each_is_right(classes):
    random, samples = np.random.default_rng(0), 4000
    true = random.integers(0, classes, samples)
    rates = np.array([0.95, 0.9, 0.85, 0.7])
    said = [
        np.where(
            random.random(samples) < rate,
            true,
            (true + random.integers(1, classes, samples)) % classes,
        )
        for rate in rates
    ]
    np.testing.assert_allclose(agreement.shares_right(said, classes), rates, atol=0.02)
    weights = agreement.weights_by(said, classes)
    np.testing.assert_allclose(weights, (1 / (1 - rates)) / (1 / (1 - rates)).sum(), atol=0.05)


def test_teachers_that_all_agree_count_alike():
    same = [np.arange(100) % 5] * 3
    np.testing.assert_allclose(agreement.weights_by(same, 5), [1 / 3] * 3)


def test_one_of_three_that_errs_most_is_asked_no_more(asked, make, monkeypatch):
    model, noisy = make(8, 0), make(8, 0)
    head = noisy.ir.graph.initializers["w3"]
    values = head.const_value.numpy()
    head.const_value = ir.tensor(values[..., ::-1].copy(), name="w3")
    runs, run = Counter(), Panel._asked

    def counted(panel, place, feeds):
        runs[place] += 1
        return run(panel, place, feeds)

    monkeypatch.setattr(Panel, "_asked", counted)
    lessons = asked([model, make(8, 0), noisy], augment=False)
    assert lessons.weights == {"logits, plain": [0.5, 0.5, 0.0]}
    assert runs[0] == runs[1] > runs[2]
    alone = [answers(asked([one], augment=False)) for one in (model, noisy)]
    again = asked([model, make(8, 0), noisy], augment=False)
    np.testing.assert_allclose(answers(again), alone[0], atol=1e-5)
    even = answers(asked([model, model, noisy], augment=False, combination="mean"))
    np.testing.assert_allclose(even, (2 * alone[0] + alone[1]) / 3, atol=1e-4)


def test_views_are_weighed_by_themselves(asked, make):
    lessons = asked([make(8, seed) for seed in (0, 1, 2)])
    plain, shifted = (lessons.weights[f"logits, {how}"] for how in ("plain", "shifted"))
    assert plain != shifted
    assert all(sum(w) == pytest.approx(1, abs=0.01) for w in lessons.weights.values())


def test_agreement_needs_three_teachers(asked, make):
    with pytest.raises(UsageError, match="found 2, expected 3 or more"):
        asked([make(8, 0), make(8, 3)], combination="agreement")
