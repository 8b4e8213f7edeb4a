"""Mode `sustain`: one process infers for minutes; latency over time, heat and frequency beside it.

Time is cut into windows. A window keeps its median, its p95, and its samples thinned: every k-th
one, with the smallest k that leaves at most `KEPT`. Frequency is read once in the middle of a
window, since a stopped process lets the processor slow down; all else between two windows.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List

import numpy as np

from . import sensors
from .process import Inference
from .sensors import UNAVAILABLE
from .state import choose_cpus
from .watch import Watch
from .wire import Channel

KEPT = 64
_LEAST = 3


def sustain(spec: Dict[str, Any], channel: Channel) -> None:
    """Answer with one entry a window.

    Spec: as `infer` takes it; `seconds` in all, `window_s`; `timeout_s` for one answer.
    """
    cpus = choose_cpus(spec["threads"])
    process = Inference(spec, spec["timeout_s"])
    windows: List[Dict[str, Any]] = []
    try:
        process.answer()
        process.stop()
        process.ask({"do": "load", "cpus": cpus})
        process.ask({"do": "warm-up"})
        watch = Watch(cpus, [os.getpid(), process.pid])
        command = {"do": "slice", "seconds": spec["window_s"], "least": _LEAST}
        start = time.monotonic()
        while True:
            at_s = time.monotonic() - start
            if windows and at_s >= spec["seconds"]:
                break
            process.start(command)
            process.answered(spec["window_s"] / 2)
            frequencies = sensors.frequencies_hz()
            samples_ns = process.answer()["samples_ns"]
            process.stop()
            watch.look()
            windows.append(window(at_s, samples_ns, frequencies))
            channel.send({"progress": [int(at_s), int(spec["seconds"])]})
        disturbed = watch.disturbances()
    finally:
        process.end()
    channel.send({"windows": windows, "disturbed": disturbed})


def window(at_s: float, samples_ns: List[float], frequencies: Any) -> Dict[str, Any]:
    """Return what is kept of one window."""
    step = -(-len(samples_ns) // KEPT)
    p50, p95 = np.percentile(samples_ns, [50, 95])
    temperatures = sensors.temperatures_c()
    return {
        "at_s": at_s,
        "inferences": len(samples_ns),
        "p50_ns": float(p50),
        "p95_ns": float(p95),
        "samples_ns": samples_ns[::step],
        "temperature_c": None if temperatures == UNAVAILABLE else temperatures,
        "frequency_hz": _fastest(frequencies),
    }


def _fastest(frequencies: Any) -> Any:
    known = [each for each in frequencies if each != UNAVAILABLE]
    return max(known) if known and frequencies != UNAVAILABLE else None
