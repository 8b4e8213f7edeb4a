"""Measures what one inference takes from the battery, where a sensor can tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.bench.running import Running, put_model, timing_spec
from edgekit.candidate import Candidate
from edgekit.devices import Device, ask
from edgekit.errors import InfrastructureError
from edgekit.measurement import Energy, EnergyPass

PASSES = 5

_ANSWER_S = 300.0
_PASS_S = 900.0

Progress = Callable[[int, int], None]


def energy(
    device: Device,
    candidate: Candidate,
    running: Running,
    *,
    progress: Progress = lambda _done, _total: None,
) -> Energy | None:
    """Measure the energy of one inference in `PASSES` fresh processes.

    Returns:
        None where the device has no sensor of power that can be read.

    Raises:
        ModelError: the runtime refuses the model or is broken by it.
        InfrastructureError: the device or the agent failed, or the sensor went silent.
    """
    if str(device.environment().get("power_sensor", "unavailable")).startswith("unavailable"):
        return None
    spec = {
        **timing_spec(device, candidate.file, running),
        "model": put_model(device, candidate.file, running.target),
        "passes": PASSES,
        "timeout_s": _ANSWER_S,
    }
    answer = ask(device, "energy", spec, timeout_s=PASSES * _PASS_S, progress=progress)
    try:
        simulated = "" if answer["source"] == "/sys" else ", simulated"
        return Energy(
            sensor=f"{answer['meter']}{simulated}",
            passes=tuple(_pass(one) for one in answer["passes"]),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InfrastructureError(
            "the agent's energy cannot be read", where=f"on {device.name}", found=repr(error)
        ) from error


def _pass(answer: Mapping[str, Any]) -> EnergyPass:
    joules, idle_w, busy_w = (float(answer[name]) for name in ("joules", "idle_w", "busy_w"))
    if not all(map(math.isfinite, (joules, idle_w, busy_w))):
        raise ValueError("not finite")
    return EnergyPass(
        joules=joules,
        idle_w=idle_w,
        busy_w=busy_w,
        updates=int(answer["updates"]),
        inferences=int(answer["inferences"]),
        disturbed=tuple(str(reason) for reason in answer["disturbed"]),
    )
