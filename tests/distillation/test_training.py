"""The student while it learns; in this process, so that a kill is an exception."""

import math
import multiprocessing
import signal
import time

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from edgekit import graph, native
from edgekit.dataset import held_out
from edgekit.distillation import checkpoint, training
from edgekit.distillation.answers import Question, Teacher
from edgekit.distillation.learner import Learner
from edgekit.distillation.outcome import Assignment
from edgekit.distillation.pace import scheduled
from edgekit.distillation.packing import pack
from edgekit.distillation.recipe import Recipe
from edgekit.distillation.teaching import ask
from edgekit.distillation.trainable import trainable
from edgekit.distillation.views import views_of
from edgekit.interpreter.network import Network


@pytest.fixture
def assigned(data, teacher, student, tmp_path):
    """Return what a student is given to learn, its checkpoints in a folder of this name."""
    files = {"student": student, "teacher": teacher}
    for name, model in files.items():
        graph.save(model, tmp_path / f"{name}.onnx")
    ends = {"inputs": {"x": "x"}, "outputs": {"logits": "logits"}}
    kept, out = held_out(data)
    train, held = pack(kept, tmp_path / "train"), pack(out, tmp_path / "held")
    (tmp_path / "answers").mkdir()

    def assignment(name, **given):
        recipe = Recipe(**{"epochs": 6, "batch": 16, "learning_rate": 3e-3, **given})
        lessons = ask(
            Question(
                teachers=(
                    Teacher(file=tmp_path / "teacher.onnx", features=recipe.features, **ends),
                ),
                student=Teacher(file=tmp_path / "student.onnx", **ends),
                data=data,
                train=train,
                held=held,
                views=views_of(train, len(kept), 2, 0),
                recipe=recipe,
                folder=tmp_path / "answers",
            )
        )
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Assignment(
            student=tmp_path / "student.onnx",
            names=trainable(student),
            latents=(),
            inputs={"x": "x"},
            train=train,
            held=held,
            lessons=lessons,
            labels=kept.labels() if recipe.labels else None,
            recipe=recipe,
            checkpoint=folder / "checkpoint.npz",
            seconds=0.0,
        )

    return assignment


def assert_same(one, other):
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])
    assert one.history == other.history


def test_the_student_comes_nearer(assigned):
    learned = training.train(assigned("one"))
    assert learned.best < 0.7 * learned.start
    assert learned.best_alike > learned.start_alike
    assert learned.epochs == 6


def test_kernels_lie_channels_last_while_they_learn_and_come_back_as_they_were(student):
    learner = Learner(Network(student.ir), trainable(student))
    kernel = learner.weights["w2"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    found = learner.run({"x": torch.ones(3, 1, 16, 16)}, ["c2"])["c2"]
    assert found.is_contiguous(memory_format=torch.channels_last)
    for name, kept in learner.kept().items():
        wanted = student.ir.graph.initializers[name].const_value.numpy()
        np.testing.assert_array_equal(kept, wanted)
        assert kept.flags.c_contiguous


def test_killed_anywhere_it_ends_at_the_same_weights(assigned, monkeypatch):
    whole = training.train(assigned("whole"))
    monkeypatch.setattr(training, "_SAVING_SHARE", math.inf)
    rng = np.random.default_rng(0)
    killed = assigned("killed")
    steps, left = 0, []

    class Killed(BaseException):
        pass

    follow = training.Learner.follow

    def dying(self, *given):
        nonlocal steps
        steps += 1
        if left and steps == left[0]:
            raise Killed
        follow(self, *given)

    monkeypatch.setattr(training.Learner, "follow", dying)
    for _ in range(6):
        steps, left[:] = 0, [int(rng.integers(1, 30))]
        with pytest.raises(Killed):
            training.train(killed)
    left.clear()
    assert_same(training.train(killed), whole)


def saved_at(assignment):
    return assignment.checkpoint.stat().st_mtime_ns if assignment.checkpoint.exists() else 0


@pytest.mark.slow
def test_processes_killed_at_random_moments_end_at_the_same_weights(assigned):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgekit.distillation.training"])
    rng, kills, steps = np.random.default_rng(1), 0, set()
    given = {"epochs": 150, "learning_rate": 1e-3}
    started = time.monotonic()
    whole = training.train(assigned("whole", **given))
    seconds = time.monotonic() - started
    killed = assigned("killed", **given)
    for _ in range(20):
        saved = saved_at(killed)
        process = context.Process(target=training.train, args=(killed,))
        process.start()
        while rng.random() < 0.99 and saved_at(killed) == saved:  # most have begun to learn
            process.join(0.02)
        process.join(seconds * rng.uniform(0, 0.1))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        steps.add((checkpoint.read(killed.checkpoint) or ({}, {}))[1].get("step", 0))
    assert kills >= 15
    assert len(steps) >= 5
    assert_same(training.train(killed), whole)


def test_what_is_done_is_not_done_again(assigned, monkeypatch):
    first = training.train(assigned("one"))
    monkeypatch.setattr(training.Learner, "follow", None)
    assert_same(training.train(assigned("one")), first)


def test_a_bad_learning_rate_is_rolled_back(assigned):
    learned = training.train(assigned("bad", learning_rate=1e4))
    assert learned.weights == {}
    assert learned.best == learned.start


def test_a_learning_rate_is_found(assigned, monkeypatch):
    said = []
    monkeypatch.setattr(native, "at", said.append)
    learned = training.train(assigned("found", learning_rate=0.0))
    assert learned.rate in {1e-4, 3e-4, 1e-3, 3e-3, 1e-2}
    assert learned.best < learned.start
    assert 2 <= sum("learning rate" in one for one in said) <= 5
    assert "min left" in said[-1]


INNER = {"r1": "r1", "r2": "c2"}


@pytest.mark.parametrize(
    "given",
    [
        {"loss": "kl"},
        {"labels": 0.5},
        {"augment": False},
        {"features": INNER},
        {"features": INNER, "features_by": "attention"},
    ],
)
def test_other_ways_to_learn(assigned, given):
    learned = training.train(assigned("other", **given))
    assert learned.best < learned.start
    assert learned.weights.keys() == {"w1", "b1", "w2", "b2", "w3", "b3"}


def test_time_ends_it(assigned, monkeypatch):
    from dataclasses import replace

    given = replace(assigned("short", epochs=0), seconds=1e-3)
    learned = training.train(given)
    assert learned.steps <= 2


def test_the_learning_rate_goes_up_and_down():
    rates = [scheduled(step, 100, 1.0) for step in range(100)]
    assert rates.index(max(rates)) == 4
    assert max(rates) == 1
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert math.isclose(rates[-1], 0.01, abs_tol=0.01)
