"""What a job comes to: a result with its reason, costs, findings and the next command."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgekit import bench, graph, judging
from edgekit.candidate import Candidate
from edgekit.dataset import Dataset
from edgekit.graph import Model
from edgekit.job import Job
from edgekit.linting import lint
from edgekit.making import Made
from edgekit.measurement import Measurement
from edgekit.passes import Pass
from edgekit.release import Budget, ReleaseProfile
from edgekit.result import Cost, Finding, Plan, Result, versions
from edgekit.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for, read and checked before the model is touched."""

    target: Target
    profile: ReleaseProfile
    steps: tuple[Pass, ...]
    budgets: tuple[Budget, ...]
    scorer: bench.Scorer


def planned(job: Job, request: Request, original: Candidate) -> Result:
    """Return what a dry run says: nothing was changed, nothing measured."""
    where = "nowhere: latency stays open"
    if job.device is not None:
        local = job.device.name == "local"
        where = "on this machine" if local else f"on {job.device.name}"
    steps = " then ".join(step.name for step in request.steps)
    return Result(
        model=job.file.name,
        original_sha256=original.sha256,
        target=request.target.name,
        plan=Plan(
            profile=request.profile.name,
            steps=request.profile.steps,
            objective=request.profile.objective,
            metric=request.profile.metric,
            budgets=request.budgets,
        ),
        inputs=job.model.inputs,
        outputs=job.model.outputs,
        candidates=(original,),
        chosen=original.name,
        reason=f"a dry run: {steps}; measured {where}",
        ruling="inconclusive",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )


def concluded(
    job: Job,
    request: Request,
    original: Candidate,
    made: Made,
    measurements: tuple[Measurement, ...],
) -> Result:
    """Judge every measurement, choose, and say why."""
    verdicts = tuple(judging.judge(item, request.budgets) for item in measurements)
    choice = judging.choose(measurements, verdicts, request.profile.objective)
    model = made.models.get(choice.candidate, job.model)
    ruling = next(item.ruling for item in verdicts if item.candidate == choice.candidate)
    return replace(
        planned(job, request, original),
        candidates=(original, *made.candidates),
        declined=made.declined,
        measurements=measurements,
        verdicts=verdicts,
        chosen=choice.candidate,
        reason=choice.reason,
        ruling=ruling,
        cost=_cost(model, job),
        original_cost=_cost(job.model, job),
        lint=tuple(
            Finding(
                severity=found.severity,
                where=found.where,
                what=found.what,
                remedy=found.remedy,
            )
            for found in lint(model, request.target)
        ),
    )


def _cost(model: Model, job: Job) -> Cost:
    found = graph.costs(model, job.running.shapes)
    return Cost(
        parameters=found.parameters,
        macs=found.macs,
        bytes=found.bytes,
        peak_activation_bytes=found.peak_activation_bytes,
    )


def notes(evaluation: str | Path | None, judged_by: Dataset) -> tuple[str, ...]:
    """Return what the reader must know of the data that judged."""
    if evaluation is not None:
        return ()
    note = (
        f"judged by {len(judged_by)} samples held out of the calibration data: agreement with the "
        "original and SQNR only; labelled samples given with --eval would settle accuracy"
    )
    return (note,)


def next_command(job: Job, folder: Path) -> str:
    """Return the command that usually comes after this job."""
    if job.device is None:
        return (
            f"edgekit device add NAME ssh://USER@HOST --target {job.running.target.name}, then "
            f"edgekit profile {folder} --device NAME --json measured.json"
        )
    return f"edgekit report {folder} --open"


def peak_memory_bytes() -> int:
    """Return the high-water mark of the largest process of this job."""
    own, children = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, children) * (1 if sys.platform == "darwin" else 1024)
