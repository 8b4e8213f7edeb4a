"""Runs a model for minutes and sees what heat makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgekit.bench.running import Running, put_model, timing_spec
from edgekit.candidate import Candidate
from edgekit.devices import Device, ask
from edgekit.errors import InfrastructureError
from edgekit.measurement import Sustained, Window

_ANSWER_S = 300.0
_SLACK_S = 600.0
_LEAST_WINDOW_S = 1.0
_MOST_WINDOWS = 600

Progress = Callable[[int, int], None]


def sustain(
    device: Device,
    candidate: Candidate,
    running: Running,
    *,
    seconds: float,
    progress: Progress = lambda _done, _total: None,
) -> Sustained:
    """Let one process infer for `seconds`, in windows of a second or, in long runs, more.

    Raises:
        ModelError: the runtime refuses the model or is broken by it.
        InfrastructureError: the device or the agent failed.
    """
    window_s = max(min(_LEAST_WINDOW_S, seconds / 20), seconds / _MOST_WINDOWS)
    spec = {
        **timing_spec(device, candidate.file, running),
        "model": put_model(device, candidate.file, running.target),
        "seconds": seconds,
        "window_s": window_s,
        "timeout_s": _ANSWER_S,
    }
    answer = ask(device, "sustain", spec, timeout_s=2 * seconds + _SLACK_S, progress=progress)
    try:
        return Sustained(
            seconds=seconds,
            window_s=window_s,
            windows=_windows(answer["windows"]),
            disturbed=tuple(str(reason) for reason in answer["disturbed"]),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InfrastructureError(
            "the agent's windows cannot be read", where=f"on {device.name}", found=repr(error)
        ) from error


def _windows(answers: Sequence[Mapping[str, Any]]) -> tuple[Window, ...]:
    if not answers:
        raise ValueError("no windows")
    return tuple(_window(one) for one in answers)


def _window(answer: Mapping[str, Any]) -> Window:
    heat, frequency = answer["temperature_c"], answer["frequency_hz"]
    p50_s, p95_s = float(answer["p50_ns"]) / 1e9, float(answer["p95_ns"]) / 1e9
    samples = tuple(float(ns) / 1e9 for ns in answer["samples_ns"])
    if not all(0 < value < math.inf for value in (p50_s, p95_s, *samples)):
        raise ValueError("a latency that is not positive")
    at_s = float(answer["at_s"])
    told = [at_s, *({} if heat is None else heat).values(), 0 if frequency is None else frequency]
    if not all(math.isfinite(value) for value in told):
        raise ValueError("not finite")
    return Window(
        at_s=at_s,
        inferences=int(answer["inferences"]),
        p50_s=p50_s,
        p95_s=p95_s,
        samples=samples,
        temperature_c=None if heat is None else {str(k): float(v) for k, v in heat.items()},
        frequency_hz=None if frequency is None else float(frequency),
    )
