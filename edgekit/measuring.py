"""Candidates become measurements: times, answers, energy, layers, on the job's device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from edgekit import bench
from edgekit.candidate import Candidate
from edgekit.dataset import Dataset
from edgekit.devices import Device, LocalDevice
from edgekit.errors import UsageError
from edgekit.job import Job
from edgekit.judging import Ruling
from edgekit.measurement import (
    Accuracy,
    Block,
    Energy,
    Layers,
    Measurement,
    Setup,
    Sustained,
)

_FAVOURITE_S = 1.0
"""Seconds of each candidate's first look, in which the fastest is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What tells when enough was measured, and how answers are scored.

    Attributes:
        settled: says whether blocks suffice to rule on every latency budget.
        untimed: rules on the budgets of answers and size, which need no blocks.
        energy: whether a budget asks for the energy of an inference.
    """

    scorer: bench.Scorer
    settled: Callable[[Sequence[Block]], bool]
    untimed: Callable[[Measurement], Ruling]
    energy: bool = False


def measure(
    job: Job,
    candidates: Sequence[Candidate],
    evaluation: Dataset,
    judge: Judge,
) -> tuple[Measurement, ...]:
    """Measure every candidate against the first one, the original.

    The original is measured against itself, too: the null control. Of the candidates whose answers
    and size keep their budgets, the one that looks fastest after a first look is measured until
    its budgets are settled, the others are not, so that the time goes where the decision lies.
    """
    original = candidates[0]
    answers = accuracies(job, candidates, evaluation, judge.scorer)
    files = {candidate.file.suffix: candidate.file for candidate in candidates}
    setups = {kind: setup_of(job, file) for kind, file in files.items()}
    untimed = [
        Measurement(
            candidate=candidate.name,
            sha256=candidate.sha256,
            size_bytes=candidate.size_bytes,
            original_sha256=original.sha256,
            original_size_bytes=original.size_bytes,
            setup=setups[candidate.file.suffix],
            blocks=(),
            null_blocks=(),
            accuracy=answers[candidate.name],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        for candidate in candidates
    ]
    if job.device is None:
        return tuple(untimed)
    rulings = {found.candidate: judge.untimed(found) for found in untimed[1:]}
    best = "pass" if "pass" in rulings.values() else "inconclusive"
    hopeful = {name for name, ruling in rulings.items() if ruling == best}
    blocks = _timed(job, candidates, hopeful, judge)
    return tuple(
        replace(
            found,
            blocks=blocks[found.candidate],
            null_blocks=blocks[original.name],
            energy=energy(job, candidate) if judge.energy else None,
        )
        for found, candidate in zip(untimed, candidates, strict=True)
    )


def _timed(
    job: Job, candidates: Sequence[Candidate], hopeful: Collection[str], judge: Judge
) -> dict[str, tuple[Block, ...]]:
    original, others = candidates[0], candidates[1:]
    favourite = _favourite(job, [other for other in others if other.name in hopeful])
    return {
        original.name: compare(job, original, original, first_look),
        **{
            other.name: compare(
                job, original, other, judge.settled if other is favourite else first_look
            )
            for other in others
        },
    }


def compare(
    job: Job,
    original: Candidate,
    candidate: Candidate,
    stop: Callable[[Sequence[Block]], bool],
) -> tuple[Block, ...]:
    """Measure `candidate` against `original` on the job's device, in blocks, until `stop`."""
    return bench.compare(
        timing_device(job),
        original,
        candidate,
        job.running,
        stop=stop,
        progress=partial(job.progress, f"measuring {candidate.name}"),
    )


def energy(job: Job, candidate: Candidate) -> Energy | None:
    """Measure the energy of one inference on the job's device; None without a sensor of power."""
    return bench.energy(
        timing_device(job),
        candidate,
        job.running,
        progress=partial(job.progress, f"energy of {candidate.name}"),
    )


def layers(job: Job) -> Layers:
    """Profile the job's model layer by layer on its device."""
    return bench.layers(
        timing_device(job),
        job.model,
        job.file,
        job.running,
        progress=partial(job.progress, "time by layer"),
    )


def sustain(job: Job, candidate: Candidate, seconds: float) -> Sustained:
    """Let the job's device run one model for `seconds`."""
    return bench.sustain(
        timing_device(job),
        candidate,
        job.running,
        seconds=seconds,
        progress=partial(job.progress, f"sustaining {candidate.name}"),
    )


def divergence(job: Job, data: Dataset) -> str:
    """Say whether the device computes what this host does and, if not, from which tensor on."""
    device, target = timing_device(job), job.running.target
    with LocalDevice() as host:
        apart = bench.output_difference(host, device, job.file, data, target=target)
        if apart <= bench.TOLERANCE:
            return (
                f"{device.name} answers like this host: outputs differ by {apart:.2g} of their "
                f"largest value, {bench.TOLERANCE:g} is tolerated"
            )
        first = bench.first_difference(
            host,
            device,
            job.model,
            data,
            target=target,
            progress=partial(job.progress, "looking for the first tensor that differs"),
        )
    told = f"{device.name} does not answer like this host: outputs differ by {apart:.2g}"
    if first is None:
        return f"{told}, but no tensor does by itself: what the runtime fuses makes the difference"
    return (
        f"{told}; the first tensor that differs is {first.tensor}, of {first.op_type} "
        f"{first.node}: by {first.difference:.2g} of its largest value"
    )


def timing_device(job: Job) -> Device:
    """Return the device that measures.

    Raises:
        UsageError: the job has none.
    """
    if job.device is None:
        raise UsageError(f"nothing here is a {job.running.target.name}", where="--device")
    return job.device


def first_look(_blocks: Sequence[Block]) -> bool:
    """Stop at the first look: what is measured only to be shown."""
    return True


def _favourite(job: Job, others: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate that looks fastest in one interleaved session."""
    if len(others) < 2:  # noqa: PLR2004  # nothing to choose
        return others[0] if others else None
    found = bench.screen(
        timing_device(job),
        [other.file for other in others],
        job.running,
        seconds_each=_FAVOURITE_S,
    )
    return min(zip(found, others, strict=True), key=lambda pair: pair[0].p50.value)[1]


def accuracies(
    job: Job, candidates: Sequence[Candidate], evaluation: Dataset, scorer: bench.Scorer
) -> dict[str, Accuracy]:
    """Score every candidate on the same samples, on the device or, without one, on this host."""
    original: list[Any] | None = None
    found: dict[str, Accuracy] = {}
    with LocalDevice() as host:
        for candidate in candidates:
            outputs = bench.evaluate(
                job.device or host,
                candidate.file,
                evaluation,
                target=job.running.target,
                threads=job.running.threads,
                progress=partial(job.progress, f"answers of {candidate.name}"),
            )
            original = outputs if original is None else original
            found[candidate.name] = bench.accuracy(
                outputs,
                original,
                evaluation.labels(),
                scorer,
                metadata=job.model.metadata,
                simulated=job.device is None,
            )
    return found


def setup_of(job: Job, file: Path) -> Setup:
    """Return the setup of measuring `file`; without a device, with this host as the stand-in."""
    if job.device is not None:
        return bench.setup_of(job.device, file, job.running)
    with LocalDevice() as host:
        found = bench.setup_of(host, file, job.running)
    return replace(found, device=None, runtime=f"{found.runtime} on this host (simulated)")
