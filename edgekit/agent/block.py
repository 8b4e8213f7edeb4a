"""Mode `block`: four fresh processes take turns, and drift cancels.

All four (original, candidate, candidate, original) are alive together and are timed in short
slices, round after round; every other round runs backwards. Measured on a machine with 2 virtual
CPUs, 1 thread: the paired difference of a block spreads by 0.2 to 0.5%, against 4 to 9% for four
processes one after the other.

A process that waits is stopped (SIGSTOP). Without that, the worker threads of a waiting process
keep spinning for a while and take the processors from the one being timed: with 2 threads on 2
CPUs, inference seemed 60% slower and the paired difference spread by 10%; stopped, by 2%. Inside
its own slice each process runs as it would for the user, spinning and all. With more than one
thread slices are twice as long: whatever else takes one CPU for a moment holds up all threads.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Sequence, Tuple

from .process import Inference
from .sensors import UNAVAILABLE
from .state import choose_cpus, state
from .watch import Watch
from .wire import Channel

_ROLES = ("original", "candidate", "candidate", "original")
_SLICE_S = {"one thread": 0.03, "more": 0.06, "a call of trtexec": 1.0}
_LEAST = 3
_MOST_ROUNDS, _FEWEST_ROUNDS = 12, 4
_ROUNDS_S = 6.0


def block(spec: Dict[str, Any], channel: Channel) -> None:
    """Measure one block and answer with all its raw samples.

    Spec: `original` and `candidate`, each as `infer` takes it; `timeout_s` for one answer.
    """
    before, cpus = state(), choose_cpus(spec["original"]["threads"])
    runs = [Inference(spec[role], spec["timeout_s"]) for role in _ROLES]
    try:
        for run in runs:
            run.answer()
            run.stop()
        loads = [run.ask({"do": "load", "cpus": cpus}) for run in runs]
        warm = [run.ask({"do": "warm-up"}) for run in runs]
        watch = Watch(cpus, [os.getpid()] + [run.pid for run in runs])
        slice_s = _SLICE_S[_kind(spec["original"])]
        slices, parts = _rounds(runs, [answer["typical_s"] for answer in warm], slice_s, watch)
        disturbed = watch.disturbances()
    finally:
        for run in runs:
            run.end()
    answers = [
        dict(load, role=role, warm_up=how, rounds_ns=samples, parts_s=of)
        for role, load, how, samples, of in zip(_ROLES, loads, warm, slices, parts)
    ]
    channel.send(
        {
            "runs": answers,
            "before": before,
            "after": state(),
            "cpus": cpus or UNAVAILABLE,
            "disturbed": disturbed,
        }
    )


def _kind(spec: Dict[str, Any]) -> str:
    if spec["runtime"] == "trtexec":
        return "a call of trtexec"
    return "one thread" if spec["threads"] == 1 else "more"


def rounds_for(typical_s: Sequence[float], slice_s: float) -> int:
    """Return how many rounds fit 6 s: an even number, 4 to 12."""
    round_s = sum(max(slice_s, (_LEAST + 1) * each) for each in typical_s)
    fitting = int(_ROUNDS_S / round_s) // 2 * 2
    return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, fitting))


def _rounds(
    runs: Sequence[Inference], typical_s: Sequence[float], slice_s: float, watch: Watch
) -> Tuple[List[List[List[float]]], List[List[Dict[str, float]]]]:
    """Return the samples of each run in each round, and the parts that a runtime tells apart."""
    slices: List[List[List[float]]] = [[] for _ in runs]
    parts: List[List[Dict[str, float]]] = [[] for _ in runs]
    command = {"do": "slice", "seconds": slice_s, "least": _LEAST}
    for number in range(rounds_for(typical_s, slice_s)):
        order = range(len(runs)) if number % 2 == 0 else range(len(runs) - 1, -1, -1)
        for at in order:
            answer = runs[at].ask(command)
            slices[at].append(answer["samples_ns"])
            if "parts_s" in answer:
                parts[at].append(answer["parts_s"])
            watch.look()
    return slices, parts
