"""What is learnt by."""

import pytest

pytest.importorskip("torch")

import torch

from edgekit.distillation.answers import Taught
from edgekit.distillation.objective import Objective
from edgekit.distillation.recipe import Recipe


def test_outputs_count_by_their_weights():
    outputs = {
        "boxes": Taught(kind="values", loss="mse", variance=4.0),
        "scores": Taught(kind="scores", loss="mse", variance=1.0),
    }
    found = {"boxes": torch.zeros(2, 4), "scores": torch.zeros(2, 3)}
    wanted = {"boxes": torch.full((2, 4), 2.0), "scores": torch.full((2, 3), 3.0)}

    def distance(**weights):
        return float(Objective(outputs, Recipe(output_weights=weights)).distance(found, wanted))

    assert distance() == pytest.approx(1 + 9)
    assert distance(boxes=2.0) == pytest.approx(2 + 9)
    assert distance(boxes=0.5, scores=0.0) == pytest.approx(0.5)
