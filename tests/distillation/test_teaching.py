"""What one or several teachers answer; asked in this process."""

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.dataset import held_out
from edgekit.distillation.answers import Question, Teacher
from edgekit.distillation.packing import pack
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.teaching import ask
from edgekit.distillation.views import views_of


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
