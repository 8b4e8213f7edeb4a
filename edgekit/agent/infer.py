"""Mode `infer`: one fresh process with one model, which does what it is told."""

from __future__ import annotations

import os
from time import perf_counter_ns
from typing import Any, Dict, List

from . import limits, memory
from .inputs import feeds_for
from .session import prepare
from .timing import Loop, warm_up
from .wire import AgentError, Channel

_RUNS_FOR_MEMORY = 3


def infer(spec: Dict[str, Any], channel: Channel) -> None:
    """Answer commands until told to quit: `load`, `warm-up`, `slice`, `repeat`.

    Spec: `model`, and what `session.prepare` and `inputs.feeds_for` take; or `runtime` is
    `trtexec`, and what `trtexec.Trtexec` takes.
    """
    process: Any
    if spec["runtime"] == "trtexec":
        from .trtexec import Trtexec

        process = Trtexec(spec)
    else:
        process = _Process(spec, prepare(spec))
    limits.keep_to_memory(spec["providers"])
    channel.send({"ready": True})
    for command in channel.receive():
        if command["do"] == "load":
            channel.send(process.load(command.get("cpus")))
        elif command["do"] == "warm-up":
            channel.send(process.warm_up())
        elif command["do"] == "slice":
            channel.send(process.slice(command["seconds"], command["least"]))
        elif command["do"] == "repeat":
            channel.send(process.repeat(command["seconds"]))
        elif command["do"] == "quit":
            return
        else:
            raise AgentError("spec", "unknown command %r" % command["do"])


class _Process:
    """The model's life in this process: loaded, warmed up, timed."""

    def __init__(self, spec: Dict[str, Any], opens: Any) -> None:
        self._spec, self._opens = spec, opens

    def load(self, cpus: Any) -> Dict[str, Any]:
        """Load the model, run it for the first time, and see what memory that took.

        Memory is read before the other inputs of the rotation exist: they are ours, not the
        model's.
        """
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
        at_start = memory.resident_bytes()
        reset = memory.reset_peak()
        start = perf_counter_ns()
        session = self._opens(self._spec["model"])
        load_ns = perf_counter_ns() - start
        loaded = memory.resident_bytes()
        loop = Loop(session.run, feeds_for(session.inputs, self._spec, count=1))
        try:
            first_ns = loop.once_ns()
            for _ in range(_RUNS_FOR_MEMORY):
                loop.once_ns()
        except Exception as error:  # the runtime raises whatever it likes
            raise AgentError("model", "the model does not run: %s" % error) from error
        at_end, peak = memory.resident_bytes(), memory.peak_bytes() if reset else None
        self._loop = Loop(session.run, feeds_for(session.inputs, self._spec))
        return {
            "load_s": load_ns / 1e9,
            "first_s": first_ns / 1e9,
            "memory": {
                "peak_bytes": peak,
                "runtime_bytes": at_start,
                "weights_bytes": _added(at_start, loaded),
                "arena_bytes": _added(loaded, at_end),
            },
        }

    def warm_up(self) -> Dict[str, Any]:
        """Run until warm."""
        warm = warm_up(self._loop)
        return {
            "iterations": warm.iterations,
            "settled": warm.settled,
            "typical_s": warm.typical_ns / 1e9,
            "batched": self._loop.batched,
        }

    def slice(self, seconds: float, least: int) -> Dict[str, List[float]]:
        """Time one slice."""
        return {"samples_ns": self._loop.slice_ns(seconds, least)}

    def repeat(self, seconds: float) -> Dict[str, int]:
        """Run for a while: when it began and ended, and how many inferences that were."""
        start_ns, end_ns, inferences = self._loop.repeat(seconds)
        return {"start_ns": start_ns, "end_ns": end_ns, "inferences": inferences}


def _added(before: Any, after: Any) -> Any:
    return None if before is None or after is None else max(0, after - before)
