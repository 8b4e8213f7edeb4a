"""Several processes that train one student."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edgekit import distill, graph
from edgekit.distillation.team import Team, cores, members, rank
from edgekit.errors import UsageError


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


def test_several_do_not_prune(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"--student: several processes cannot prune alike"):
        distill("a.onnx", student="auto", keep_macs=0.5, data="data.npz", out="out.onnx")


ALONE_OR_NOT = """
import json, sys
import edgekit
from edgekit import distill
from edgekit.distillation.team import rank

folder, name = sys.argv[1:]
record = edgekit.distill(
    f"{folder}/teacher.onnx", student=f"{folder}/student.onnx", data=f"{folder}/data.npz",
    out=f"{folder}/{name}.onnx", epochs=6, batch=16, learning_rate=3e-3,
)
if rank() == 0:
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(record.facts["history"], file)
"""


@pytest.mark.slow
def test_two_come_as_near_as_one(teacher, student, data, tmp_path):
    pytest.importorskip("accelerate")
    script = tmp_path / "both.py"
    script.write_text(ALONE_OR_NOT)
    graph.save(teacher, tmp_path / "teacher.onnx")
    graph.save(student, tmp_path / "student.onnx")
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    curves = []
    for name, start in (("one", []), ("two", [*launch, "--main_process_port", "0"])):
        line = [sys.executable, *start, str(script), str(tmp_path), name]
        subprocess.run(line, check=True, timeout=600)
        history = json.loads((tmp_path / f"{name}.json").read_text())
        curves.append([distance for _, distance in history.values()])
        assert not list(tmp_path.glob("*.training*"))
    np.testing.assert_allclose(*curves, rtol=0.05)
    assert curves[1][-1] < 0.5 * curves[1][0]
