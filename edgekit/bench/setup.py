"""What was measured where."""

from __future__ import annotations

from edgekit import runtimes
from edgekit.bench.running import Running
from edgekit.devices import Device
from edgekit.measurement import Setup


def setup_of(device: Device, running: Running) -> Setup:
    """Return the setup of measurements on `device`.

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
        runtime=runtimes.runtime_for(running.target).title(environment, running.target),
        threads=running.threads,
        batch=running.batch,
        shapes=shapes,
        environment=environment,
    )
