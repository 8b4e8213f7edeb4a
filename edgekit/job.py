"""What every measuring job needs before it starts: target, device, shapes, inputs, candidates."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit import graph
from edgekit.bench import Running
from edgekit.candidate import Candidate, StepRecord
from edgekit.dataset import Dataset
from edgekit.devices import Device
from edgekit.errors import DataError, ModelError, OutputError, UsageError
from edgekit.graph import Model, TensorSpec
from edgekit.passes import Progress
from edgekit.placement import device_for
from edgekit.release import Budget
from edgekit.target import Target

Inputs = tuple[dict[str, npt.NDArray[np.generic]], ...]
_ROTATED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the user wants a model run, and who is told what is going on.

    Attributes:
        device: name of what measures; None for this machine where it is of the target's kind.
        inventory: file with the devices; None for `EDGEKIT_INVENTORY` or the user's own.
        threads: intra-op threads.
        batch: samples per inference.
        shapes: shapes of inputs with dynamic axes.
        progress: called with (what is being done, done so far, in all).
    """

    device: str | None
    threads: int
    batch: int
    shapes: dict[str, tuple[int, ...]] | None
    progress: Progress
    inventory: str | Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request, resolved and checked: what is measured, where, and how.

    Attributes:
        device: what measures; None when nothing can be timed.
        running: target, threads, batch, and concrete shapes and inputs for timing.
        workspace: a private folder, removed when the job ends.
    """

    file: Path
    model: Model
    device: Device | None
    running: Running
    workspace: Path
    progress: Progress


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody: the default of every `progress` argument."""


def budgets_of(profile: tuple[Budget, ...], texts: tuple[str, ...]) -> tuple[Budget, ...]:
    """Return the profile's budgets with those of `texts` in place of the same metric's."""
    given = tuple(Budget.parse(text) for text in texts)
    named = {budget.metric for budget in given}
    return (*(b for b in profile if b.metric not in named), *given)


@contextmanager
def open_job(
    file: Path, model: Model, target: Target, conditions: Conditions, *, data: Dataset | None
) -> Iterator[Job]:
    """Connect to the device, make the workspace, and settle shapes and inputs for timing."""
    concrete = shapes_for(model, conditions.shapes or {}, conditions.batch, data)
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-") as workspace,
        device_for(
            target, conditions.device, conditions.inventory, progress=conditions.progress
        ) as measuring,
    ):
        yield Job(
            file=file,
            model=model,
            device=measuring,
            running=Running(
                target=target,
                threads=conditions.threads,
                batch=conditions.batch,
                shapes=concrete,
                inputs=timing_inputs(data, concrete),
            ),
            workspace=Path(workspace),
            progress=conditions.progress,
        )


def shapes_for(
    model: Model, given: dict[str, tuple[int, ...]], batch: int, data: Dataset | None
) -> dict[str, tuple[int, ...]]:
    """Return a concrete shape for every input: given, fixed, or that of the first sample.

    Raises:
        UsageError: an unknown input, a shape that does not fit, or a dynamic axis with nothing to
            fill it.
    """
    known = {spec.name: spec for spec in model.inputs}
    for name in given:
        if name not in known:
            raise UsageError(
                f"the model has no input {name!r}",
                where="--shape",
                expected=f"one of {sorted(known)}",
            )
    first = next(data.samples(), {}) if data is not None else {}
    return {
        name: _shape_for(spec, given.get(name), batch, first.get(name))
        for name, spec in known.items()
    }


def _shape_for(
    spec: TensorSpec,
    given: tuple[int, ...] | None,
    batch: int,
    sample: npt.NDArray[np.generic] | None,
) -> tuple[int, ...]:
    declared = spec.shape
    shape: tuple[int | str, ...] | None = given
    if shape is None and sample is not None:
        shape = (batch, *sample.shape)
    if shape is None and declared is not None:
        shape = tuple(
            batch if i == 0 and isinstance(axis, str) else axis for i, axis in enumerate(declared)
        )
    if shape is None or any(isinstance(axis, str) for axis in shape):
        raise UsageError(
            f"input {spec.name!r} has dynamic axes",
            found="x".join(str(axis) or "?" for axis in declared or ()),
            remedy=f"give its shape, e.g. --shape {spec.name}="
            + "x".join(str(a) if isinstance(a, int) else "N" for a in shape or ("N",)),
        )
    concrete = tuple(int(axis) for axis in shape)
    fixed = declared is not None and (
        len(declared) != len(concrete)
        or any(isinstance(d, int) and d != c for d, c in zip(declared, concrete, strict=False))
    )
    if fixed:
        raise UsageError(
            f"input {spec.name!r} cannot have this shape",
            found="x".join(map(str, concrete)),
            expected="x".join(str(axis) or "?" for axis in declared or ()),
            remedy="change --batch or --shape, or export the model with dynamic axes",
        )
    return concrete


def timing_inputs(data: Dataset | None, shapes: dict[str, tuple[int, ...]]) -> Inputs | None:
    """Return up to 16 inputs of the timed shapes made of the data, batched.

    Returns:
        None where there is no data or its samples have other shapes; the agent then draws its own.
    """
    if data is None:
        return None
    batch = max(shape[0] if shape else 1 for shape in shapes.values())
    samples = list(islice(data.samples(), _ROTATED * min(batch, len(data))))
    if not samples:
        return None
    made = []
    for start in range(min(_ROTATED, len(samples))):
        rows = [samples[(start * batch + i) % len(samples)] for i in range(batch)]
        try:
            made.append({name: np.stack([row[name] for row in rows]) for name in shapes})
        except ValueError:
            return None
    if any(feed[name].shape != shape for feed in made for name, shape in shapes.items()):
        return None
    return tuple(made)


def check_batch_axis(model: Model, data: Dataset) -> None:
    """Raise `ModelError` when samples cannot be fed one at a time."""
    for spec in model.inputs:
        if spec.shape and isinstance(spec.shape[0], int) and spec.shape[0] != 1:
            raise ModelError(
                f"input {spec.name!r} has a fixed batch axis",
                where=model.name,
                found=str(spec.shape[0]),
                expected="1 or dynamic",
                remedy="export the model with a dynamic batch axis",
            )
        if spec.shape is not None and not spec.shape:
            raise DataError(
                f"input {spec.name!r} is a scalar and has no sample axis", where=data.source
            )


def check_file_out(path: Path, *, force: bool) -> None:
    """Raise `OutputError` when `path` exists (without `force`) or its folder cannot be written."""
    if path.exists() and (not force or not path.is_file()):
        raise OutputError(
            "exists already", where=str(path), remedy="name another file, or add --force"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError(
            "cannot be written",
            where=str(path),
            found=f"no writable folder {path.parent}",
            remedy="name a file in a folder that exists",
        )


def original_candidate(file: Path) -> Candidate:
    """Return the user's own file as the candidate called `original`."""
    return Candidate(
        name="original",
        file=file,
        sha256=graph.file_sha256(file),
        size_bytes=graph.file_size(file),
    )


def stage(
    name: str, model: Model, parent: Candidate, step: StepRecord, workspace: Path
) -> Candidate:
    """Write `model` into the workspace and return it as the candidate `name`."""
    folder = workspace / "candidates" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "model.onnx"
    graph.save(model, file)
    return Candidate(
        name=name,
        file=file,
        sha256=graph.file_sha256(file),
        size_bytes=graph.file_size(file),
        steps=(*parent.steps, step),
        parent=parent.name,
    )
