"""What lies within a student, and is matched."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from edgekit.distillation.answers import Taught
from edgekit.distillation.hints import Hints, attention
from edgekit.distillation.panel import _attention
from edgekit.errors import ModelError

DRAWN = torch.manual_seed(0)


def hints(loss, variance=1.0):
    known = Taught(kind="values", loss=loss, variance=variance)
    return Hints({"y": Taught(kind="scores", loss="mse", variance=1.0), "inner": known})


@pytest.mark.parametrize("shape", [(8, 3, 5, 5), (8, 5, 3), (40, 3)])
def test_channels_are_mixed_with_least_error_at_first(shape):
    own = torch.randn(*shape, generator=DRAWN)
    mixture = torch.randn(3, 7, generator=DRAWN)
    other = own.movedim(1, -1) @ mixture if len(shape) == 4 else own @ mixture
    other = other.movedim(-1, 1) if len(shape) == 4 else other
    known = hints("projection")
    assert known.names == ("inner",)
    made = known.projections({"inner": own}, {"inner": other})
    [found] = made.values()
    np.testing.assert_allclose(found, mixture, atol=0.02)
    assert known.distance({"inner": own}, {"inner": other}, made) < 1e-3
    off = known.distance({"inner": 0 * own}, {"inner": other}, made)
    twice = hints("projection", variance=0.5).distance({"inner": 0 * own}, {"inner": other}, made)
    assert float(twice) == pytest.approx(2 * float(off))


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (4, 5, 3)])
def test_attention_is_the_same_on_both_sides(shape):
    value = torch.randn(*shape, generator=DRAWN)
    found = attention(value)
    np.testing.assert_allclose(found, _attention(value.numpy()), atol=1e-6)
    np.testing.assert_allclose(found.norm(dim=1), 1, atol=1e-6)
    known = hints("attention")
    assert known.projections({"inner": value}, {"inner": found}) == {}
    assert float(known.distance({"inner": 3 * value}, {"inner": found}, {})) < 1e-6


@pytest.mark.parametrize("loss", ["projection", "attention"])
def test_other_places_are_refused(loss):
    own, other = torch.zeros(2, 3, 5, 5), torch.zeros(2, 3, 4, 4)
    wanted = attention(other) if loss == "attention" else other
    with pytest.raises(ModelError, match="inner: the teacher's value has other places"):
        hints(loss).projections({"inner": own}, {"inner": wanted})
