"""Mode `energy`: joules of one inference, in passes of their own.

A pass is a fresh process: the meter is read while the process is stopped (idle), then while it
infers, then idle again. What the middle took above the mean of both, divided by its inferences, is
the energy of one. Reading the meter costs the same in all three.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from .power import Meter, meter
from .process import Inference
from .sensors import source
from .state import choose_cpus
from .watch import Watch
from .wire import AgentError, Channel

UPDATES = 100
_LEAST_S = 1.0
_EDGE_UPDATES = 2
_SPARE = 2
_TRIES = 4


class Reading(NamedTuple):
    """When (ns, the clock of `perf_counter_ns`) and what each part of the meter said."""

    at_ns: int
    parts: List[float]


class Clock(NamedTuple):
    """Time as a pass sees it; a simulation gives its own."""

    now_ns: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep


def energy(spec: Dict[str, Any], channel: Channel) -> None:
    """Answer with joules per inference and idle watts of each pass.

    Spec: as `infer` takes it; `passes`; `timeout_s` for one answer.
    """
    found = meter()
    if found is None:
        raise AgentError("device", "no sensor of power can be read here")
    cpus = choose_cpus(spec["threads"])
    passes = []
    for done in range(spec["passes"]):
        process = Inference(spec, spec["timeout_s"])
        try:
            process.answer()
            process.stop()
            process.ask({"do": "load", "cpus": cpus})
            process.ask({"do": "warm-up"})
            watch = Watch(cpus, [os.getpid(), process.pid])
            passes.append(one_pass(found, process, Clock()))
            passes[-1]["disturbed"] = watch.disturbances()
        finally:
            process.end()
        channel.send({"progress": [done + 1, spec["passes"]]})
    channel.send({"meter": found.name, "source": source(), "passes": passes})


def one_pass(found: Meter, process: Any, clock: Clock) -> Dict[str, Any]:
    """Measure one pass with a warm process that is stopped and is stopped afterwards."""
    half = UPDATES // 2 + 1
    before = _idle_w(found, clock, half)
    seconds = max(_LEAST_S, _SPARE * (UPDATES + _EDGE_UPDATES) * found.interval_s)
    for _ in range(_TRIES):
        answer, within = _busy(found, process, clock, seconds)
        if len(within) >= UPDATES:
            break
        seconds *= 4
    else:
        raise AgentError("device", "%s gave %d updates of %d" % (found.name, len(within), UPDATES))
    clock.sleep(_EDGE_UPDATES * found.interval_s)
    idle_w = (before + _idle_w(found, clock, half)) / 2
    busy_w = mean_w(found, within)
    seconds = (answer["end_ns"] - answer["start_ns"]) / 1e9
    return {
        "joules": (busy_w - idle_w) * seconds / answer["inferences"],
        "idle_w": idle_w,
        "busy_w": busy_w,
        "updates": len(within),
        "inferences": answer["inferences"],
    }


def _busy(
    found: Meter, process: Any, clock: Clock, seconds: float
) -> Tuple[Dict[str, int], List[Reading]]:
    """Return what the process says of its work, and the readings well within it."""
    process.start({"do": "repeat", "seconds": seconds})
    readings = [_read(found, clock)]
    while not process.answered(found.interval_s):
        readings.append(_read(found, clock))
    answer = process.answer()
    process.stop()
    begun_ns = answer["start_ns"] + int(_EDGE_UPDATES * found.interval_s * 1e9)
    return answer, [r for r in readings if begun_ns <= r.at_ns <= answer["end_ns"]]


def mean_w(found: Meter, readings: Sequence[Reading]) -> float:
    """Return the mean power over readings: by the trapezoid rule, or from what a counter gained."""
    seconds = (readings[-1].at_ns - readings[0].at_ns) / 1e9
    pairs = list(zip(readings, readings[1:]))  # noqa: RUF007  # pairwise is of Python 3.10
    if found.kind == "joules":
        return sum(_gained(found, pair) for pair in pairs) / seconds
    joules = sum((sum(a.parts) + sum(b.parts)) / 2 * (b.at_ns - a.at_ns) / 1e9 for a, b in pairs)
    return joules / seconds


def _gained(found: Meter, pair: Tuple[Reading, Reading]) -> float:
    earlier, later = pair
    gained = [b - a for a, b in zip(earlier.parts, later.parts)]
    return sum(g if g >= 0 else g + wraps for g, wraps in zip(gained, found.wraps_j))


def _idle_w(found: Meter, clock: Clock, updates: int) -> float:
    readings = []
    for _ in range(updates):
        readings.append(_read(found, clock))
        clock.sleep(found.interval_s)
    return mean_w(found, readings)


def _read(found: Meter, clock: Clock) -> Reading:
    try:
        return Reading(clock.now_ns(), found.read())
    except ValueError as error:
        raise AgentError("device", "%s went silent: %s" % (found.name, error)) from error
