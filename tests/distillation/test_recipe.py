import pytest

from edgekit.distillation.recipe import Recipe
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "ce"}, r"loss: unknown loss \(found 'ce', expected one of auto, mse, kl\)"),
        ({"combination": "vote"}, "combination: unknown combination .*mean, agreement, confidence"),
        ({"labels": 1.5}, r"labels: out of range \(found 1.5, expected 0 to 1\)"),
        ({"epochs": -1}, "epochs: out of range .*at least 0"),
        ({"minutes": float("nan")}, "minutes: out of range"),
        ({"temperature": 0}, "temperature: out of range .*above 0"),
        ({"teacher_weights": (0.0, 0.0)}, "teacher_weights: out of range"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**given)


def test_fewer_samples_are_seen_more_often():
    recipe = Recipe()
    assert recipe.passes_over(500) > recipe.passes_over(20_000) >= recipe.passes_over(10**6) >= 1
    assert Recipe(epochs=3).passes_over(500) == 3
