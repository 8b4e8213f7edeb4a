"""Several processes that train one student."""

import numpy as np

from edgekit.distillation.team import Team, cores, members, rank


def test_one_alone_needs_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = Team()
    assert (team.rank, team.size, rank(), members()) == (0, 1, 0, 1)
    chosen = np.arange(5)
    assert (team.part(chosen) == chosen).all()
    assert team.agreed("same") == "same"
    assert cores() >= 1


def test_each_has_a_part_of_a_step(monkeypatch):
    monkeypatch.setattr(Team, "__init__", lambda _: None)
    parts = []
    for place in range(3):
        team = Team()
        team.rank, team.size = place, 3
        parts += team.part(np.arange(8)).tolist()
        assert (team.part(np.arange(2)) == np.arange(2)).all()
    assert sorted(parts) == list(range(8))
