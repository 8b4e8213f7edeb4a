"""A student is trained, in a native child: from its start to the best that held-out samples show.

All that is drawn follows from the seed and the number of the epoch, so that a training that was
ended goes on from its last checkpoint to the very weights it would have come to.
"""

from __future__ import annotations

import math
import time

import onnx_ir as ir
import torch

from edgekit import native
from edgekit.distillation import checkpoint
from edgekit.distillation.checkpoint import Arrays
from edgekit.distillation.hints import Hints
from edgekit.distillation.learner import Learner, Moving
from edgekit.distillation.lesson import Course, Lesson
from edgekit.distillation.normalizing import by_batch
from edgekit.distillation.objective import Objective
from edgekit.distillation.outcome import Assignment, Learned
from edgekit.distillation.pace import Progress, scheduled
from edgekit.distillation.team import Team, cores
from edgekit.interpreter.network import Network

_CHECKS = (4, 20)
_JUDGED = 0.3
"""Held-out samples that may be judged in all, for each that is learnt from: they cost a third."""
_PATIENCE = 6
_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_TRIAL_STEPS = (10, 60)
_TRIAL_SHARE = 0.02
_JUDGED_IN_TRIALS = 1024
_MEAN_OVER = 0.05
_TIME_USED = 0.9
_SAVING_SHARE = 0.01
"""Of the time that may go into checkpoints."""
_REPORTED_EVERY_S = 0.5
_MOST_EPOCHS = 200


def train(assignment: Assignment) -> Learned:
    """Train the student of an assignment; runs in a native child.

    Raises:
        ModelError: an operator is not covered.
    """
    torch.set_num_threads(cores())
    student = ir.load(assignment.student)
    network, moving = Network(student), None
    if assignment.lessons.together > 1:
        moved = by_batch(student, assignment.names)
        moving = Moving(network=Network(student), moved=moved) if moved else None
    learner = Learner(network, assignment.names, assignment.latents, moving)
    return _Training(assignment, learner).done()


class _Training:
    def __init__(self, assignment: Assignment, learner: Learner) -> None:
        self._given = assignment
        self._recipe = assignment.recipe
        self._learner = learner
        self._team = Team()
        self._course = Course(assignment, self._team)
        self._objective = Objective(assignment.lessons.outputs, assignment.recipe)
        self._hints = Hints(assignment.lessons.outputs)
        self._outputs = [n for n in assignment.lessons.outputs if n not in self._hints.names]
        if self._hints.names:
            self._learner.aided_by(self._team.agreed(self._projections()))
        self._file = assignment.checkpoint
        self._at = Progress()
        self._best: Arrays = {}
        self._loss = math.nan
        self._save_after = 0.0
        self._began = 0.0, 0

    def done(self) -> Learned:
        """Train to the end, or on from where it was left."""
        self._clock = time.monotonic()
        if not self._resumed():
            self._plan()
            self._save()
        self._learn()
        self._save()
        at = self._at
        return Learned(
            weights=self._best if at.best_step else {},
            start=at.start,
            best=at.best,
            start_alike=at.start_alike,
            best_alike=at.best_alike,
            rate=at.rate,
            steps=at.step,
            epochs=at.step / self._course.steps,
            samples=at.step * self._course.size,
            history=tuple(at.history),
        )

    def _plan(self) -> None:
        """Judge the start, choose the learning rate, and how many steps there are."""
        native.at("judging the student as it is")
        at = self._at
        at.start, at.start_alike = self._judge()
        at.best, at.best_alike = at.start, at.start_alike
        self._best = self._learner.kept()
        at.total = self._most()
        each = self._timed_step() if self._given.seconds else 0.0
        at.total = self._fitting(at.total, each)
        at.rate = self._team.agreed(self._recipe.learning_rate or self._found_rate())
        at.total = self._fitting(at.total, each)

    def _projections(self) -> dict[str, torch.Tensor]:
        """Return how the student's channels are mixed at first, by the first lesson."""
        part = next(self._course.lessons(0)).parts[0]
        with torch.no_grad():
            found = self._learner.run(part.feeds, self._hints.names)
        return self._hints.projections(found, part.wanted)

    def _replan(self) -> None:
        """Let the schedule end with the time, however busy the machine has become."""
        at = self._at
        if self._given.seconds and at.step < at.total:
            at.total = at.step + self._fitting(self._most() - at.step, self._pace())

    def _pace(self) -> float:
        """Return the seconds of a step since learning began here."""
        since, first = self._began
        return (time.monotonic() - since) / max(self._at.step - first, 1)

    def _fitting(self, steps: int, each: float) -> int:
        """Return how many of so many steps there is time for."""
        if not each:
            return steps
        left = _TIME_USED * (self._given.seconds - self._spent())
        return self._team.agreed(max(min(steps, int(left / each)), min(steps, 1)))

    def _most(self) -> int:
        """Return the steps that there are, were there time for all."""
        epochs = self._recipe.epochs or (
            _MOST_EPOCHS
            if self._given.seconds
            else self._recipe.passes_over(len(self._given.train))
        )
        return max(round(epochs * self._course.steps), 1)

    def _timed_step(self) -> float:
        """Return the seconds of a step, and of its share of the checks."""
        lessons = self._course.lessons(0)
        first = next(lessons)
        self._step(first, 0.0, 1.0)
        started = time.monotonic()
        for _ in range(3):
            self._step(first, 0.0, 1.0)
        each = (time.monotonic() - started) / 3
        self._learner.begin()
        return each

    def _found_rate(self) -> float:
        """Return the learning rate whose short training ends nearest to the teachers.

        Larger ones are tried as long as they do better.
        """
        least, most = _TRIAL_STEPS
        steps = int(min(max(self._at.total * _TRIAL_SHARE, least), most))
        lessons = [lesson for lesson, _ in zip(self._course.lessons(0), range(steps), strict=False)]
        best, found = math.inf, _RATES[0]
        for rate in _RATES:
            native.at(f"trying learning rate {rate:g}")
            self._learner.begin()
            for step in range(steps):
                size = scheduled(step, steps, rate)
                self._step(lessons[step % len(lessons)], size, 0.8)
            distance, _ = self._team.agreed(self._judge(_JUDGED_IN_TRIALS))
            if distance >= best:
                break
            best, found = distance, rate
        self._learner.begin()
        return found

    def _learn(self) -> None:
        at = self._at
        every = max(at.total // self._checks(), 1)
        horizon = max(at.total * _MEAN_OVER, 5.0)
        told = time.monotonic()
        self._began = told, at.step
        while at.step < at.total and not self._over():
            skipped = at.step % self._course.steps
            for lesson in self._course.lessons(at.step // self._course.steps, skipped):
                decay = min(1 - 1 / horizon, (1 + at.step) / (10 + at.step))
                loss = self._step(lesson, scheduled(at.step, at.total, at.rate), decay)
                self._loss = loss if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss
                at.step += 1
                if at.step % every == 0 or at.step == at.total:
                    self._check()
                    self._replan()
                now = time.monotonic()
                if now - told > _REPORTED_EVERY_S or at.step == at.total:
                    native.report(at.step, at.total)
                    told = now
                if now >= self._save_after:
                    self._save()
                if at.step >= at.total or self._over():
                    break

    def _checks(self) -> int:
        """Return how often held-out samples judge: seldom in a short training."""
        least, most = _CHECKS
        learnt = self._at.total * self._course.size
        return min(max(int(_JUDGED * learnt / max(len(self._given.held), 1)), least), most)

    def _over(self) -> bool:
        """Say whether nothing better is to be expected, or time is up.

        All processes of a team say the same: who alone leaves lets the others wait for ever.
        """
        at = self._at
        late = bool(self._given.seconds) and self._team.agreed(self._spent() > self._given.seconds)
        diverged = bool(at.history) and not math.isfinite(at.history[-1][-1])
        return late or diverged or at.since >= _PATIENCE

    def _check(self) -> None:
        """Judge by held-out samples, and keep what is best."""
        at = self._at
        distance, alike = self._team.agreed(self._judge())
        at.history.append((at.step, self._loss, distance))
        if distance < at.best:
            at.best, at.best_alike, at.best_step, at.since = distance, alike, at.step, 0
            self._best = self._learner.kept()
        else:
            at.since += 1
        left = self._pace() * (at.total - at.step) / 60
        native.at(
            f"epoch {at.step / self._course.steps:.1f} of {at.total / self._course.steps:.1f},"
            f" loss {self._loss:.4f}, held-out {distance:.4f} (start {at.start:.4f}),"
            f" {left:.0f} min left"
        )

    def _step(self, lesson: Lesson, rate: float, decay: float) -> float:
        total = 0.0
        for part in lesson.parts:
            found = self._learner.run(part.feeds, [*self._outputs, *self._hints.names])
            distance = self._objective.distance(found, part.wanted)
            loss = self._objective.with_labels(distance, found, part.labels)
            loss = loss + self._hints.distance(found, part.wanted, self._learner.weights)
            loss = loss * part.share
            loss.backward()
            total += float(loss.detach())
        self._learner.follow(rate, decay, self._team)
        return total

    def _judge(self, most: int = 0) -> tuple[float, float | None]:
        """Return how far held-out answers of the mean weights are off, and how many are alike."""
        distance, alike, count = 0.0, 0, 0
        classes = True
        for part in self._course.held(most):
            found = self._learner.judged(part.feeds, self._outputs)
            distance += float(self._objective.distance(found, part.wanted)) * part.count
            same = self._objective.alike(found, part.wanted)
            classes = classes and same is not None
            alike += same or 0
            count += part.count
        distance /= max(count, 1)
        return (
            distance if math.isfinite(distance) else math.inf,
            alike / max(count, 1) if classes else None,
        )

    def _spent(self) -> float:
        return self._at.spent + time.monotonic() - self._clock

    def _save(self) -> None:
        at = self._at
        at.spent, self._clock = self._spent(), time.monotonic()
        arrays = {**self._learner.state(), **{f"best/{k}": v for k, v in self._best.items()}}
        facts = {name: getattr(at, name) for name in Progress.__slots__} | {"loss": self._loss}
        checkpoint.write(self._file, arrays, facts)
        now = time.monotonic()
        self._save_after = now + (now - self._clock) / _SAVING_SHARE

    def _resumed(self) -> bool:
        found = self._team.agreed(checkpoint.read(self._file))
        if found is None:
            return False
        arrays, facts = found
        self._loss = facts.pop("loss")
        facts["history"] = [tuple(one) for one in facts["history"]]
        self._at = Progress(**facts)
        self._learner.restore(arrays)
        self._best = {
            name.removeprefix("best/"): value
            for name, value in arrays.items()
            if name.startswith("best/")
        }
        return True
