"""What was measured where."""

from __future__ import annotations

from pathlib import Path

from edgekit import runtimes
from edgekit.bench.running import Running
from edgekit.devices import Device
from edgekit.measurement import Setup


def setup_of(device: Device, file: Path, running: Running) -> Setup:
    """Return the setup of measurements of `file` on `device`.

    `shapes` are those of `running`, completed from its inputs.

    Raises:
        InfrastructureError: the device cannot be asked.
    """
    environment = device.environment()
    shapes = dict(running.shapes)
    if running.inputs:
        shapes.update({name: array.shape for name, array in running.inputs[0].items()})
    return Setup(
        target=running.target.name,
        device=device.name,
        runtime=runtimes.runtime_for(running.target, file).title(environment, running.target),
        threads=running.threads,
        batch=running.batch,
        shapes=shapes,
        environment=environment,
    )
