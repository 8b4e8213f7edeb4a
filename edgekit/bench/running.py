"""What every measurement sends to the agent: models, inputs, how to open a session."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit import graph, runtimes
from edgekit.devices import Device
from edgekit.errors import ModelError
from edgekit.target import Target

Feed = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How models are run in a measurement; the same for all that are compared.

    Attributes:
        threads: intra-op threads.
        batch: samples per inference, where the model's first axis is dynamic.
        shapes: whole shape of each timed input, by name; needed where other axes are dynamic.
        inputs: feeds that the timed loop rotates through, batch axis included, all of one shape;
            None: seeded random ones.
    """

    target: Target
    threads: int = 1
    batch: int = 1
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Sequence[Feed] | None = None


def session_spec(target: Target, file: Path, *, threads: int, exact: bool) -> dict[str, Any]:
    """Return the part of a spec that says how a session is opened.

    Args:
        target: names runtimes and providers.
        file: the model; its kind decides among the runtimes.
        threads: intra-op threads.
        exact: only with the target's best provider; else the best one that is there will do.
    """
    runtime = runtimes.runtime_for(target, file)
    return {**runtime.agent_spec(target, threads=threads), "exact": exact}


def timing_spec(device: Device, file: Path, running: Running) -> dict[str, Any]:
    """Return the part of a spec that says how a model is run and with what; sends the inputs."""
    session = session_spec(running.target, file, threads=running.threads, exact=True)
    alone = session["runtime"] == runtimes.Trtexec.name
    shapes = _changing_shapes(file, running) if alone else running.shapes
    return {
        **session,
        "batch": running.batch,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "inputs": _send(device, running.inputs) if running.inputs else None,
    }


def put_model(device: Device, file: Path, target: Target) -> str:
    """Send a model with its external data and return its path there.

    Raises:
        ModelError: the target's runtimes do not take such a file.
    """
    reason = runtimes.runtime_for(target, file).refuses(file, target)
    if reason is not None:
        raise ModelError(reason, where=str(file))
    return device.put(*graph.model_files(file))


def _changing_shapes(file: Path, running: Running) -> dict[str, tuple[int, ...]]:
    """Return whole shapes of those inputs with an axis that changes, for who cannot ask for it."""
    sent = {name: array.shape for name, array in (running.inputs or [{}])[0].items()}
    found = {}
    for spec in graph.load(file).inputs:
        axes = spec.shape or ()
        if not all(isinstance(axis, int) for axis in axes):
            fixed = [axis if isinstance(axis, int) else 1 for axis in axes]
            if not isinstance(axes[0], int):
                fixed[0] = running.batch
            found[spec.name] = sent.get(spec.name) or running.shapes.get(spec.name, tuple(fixed))
    return found


def _send(device: Device, inputs: Sequence[Feed]) -> dict[str, Any]:
    names = list(inputs[0])
    arrays = [np.stack([feed[name] for feed in inputs]) for name in names]
    with tempfile.TemporaryDirectory(prefix="edgekit-inputs-") as folder:
        file = Path(folder) / "inputs.npz"
        np.savez(file, *arrays)
        return {"file": device.put(file), "names": names}
