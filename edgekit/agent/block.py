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

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Sequence

from .state import UNAVAILABLE, busy_s, choose_cpus, state, throttle_events, used_s
from .wire import AgentError, Channel

_ROLES = ("original", "candidate", "candidate", "original")
_SLICE_S = {"one thread": 0.03, "more": 0.06}
_LEAST = 3
_MOST_ROUNDS, _FEWEST_ROUNDS = 12, 4
_ROUNDS_S = 6.0
_OTHERS_SHARE = 0.25


def block(spec: Dict[str, Any], channel: Channel) -> None:
    """Measure one block and answer with all its raw samples.

    Spec: `original` and `candidate`, each as `infer` takes it; `timeout_s` for one answer.
    """
    before, cpus = state(), choose_cpus(spec["original"]["threads"])
    runs = [_Run(spec[role], spec["timeout_s"]) for role in _ROLES]
    try:
        for run in runs:
            run.answer()
            run.stop()
        loads = [run.ask({"do": "load", "cpus": cpus}) for run in runs]
        warm = [run.ask({"do": "warm-up"}) for run in runs]
        watch = _Watch(cpus, [os.getpid()] + [run.pid for run in runs])
        slice_s = _SLICE_S["one thread" if spec["original"]["threads"] == 1 else "more"]
        slices = _rounds(runs, [answer["typical_s"] for answer in warm], slice_s)
        disturbed = watch.disturbances()
    finally:
        for run in runs:
            run.end()
    answers = [
        dict(load, role=role, warm_up=how, rounds_ns=samples)
        for role, load, how, samples in zip(_ROLES, loads, warm, slices)
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


def rounds_for(typical_s: Sequence[float], slice_s: float) -> int:
    """Return how many rounds fit 6 s: an even number, 4 to 12."""
    round_s = sum(max(slice_s, (_LEAST + 1) * each) for each in typical_s)
    fitting = int(_ROUNDS_S / round_s) // 2 * 2
    return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, fitting))


def _rounds(
    runs: Sequence[_Run], typical_s: Sequence[float], slice_s: float
) -> List[List[List[float]]]:
    slices: List[List[List[float]]] = [[] for _ in runs]
    command = {"do": "slice", "seconds": slice_s, "least": _LEAST}
    for number in range(rounds_for(typical_s, slice_s)):
        order = range(len(runs)) if number % 2 == 0 else range(len(runs) - 1, -1, -1)
        for at in order:
            slices[at].append(runs[at].ask(command)["samples_ns"])
    return slices


class _Run:
    """One inference process: goes on only while it has something to answer."""

    def __init__(self, spec: Dict[str, Any], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, sys.argv[0], "infer", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._tell(spec)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: Dict[str, Any]) -> Dict[str, Any]:
        """Let the process carry out `command` and stop it again."""
        os.kill(self.pid, signal.SIGCONT)
        self._tell(command)
        answer = self.answer()
        self.stop()
        return answer

    def answer(self) -> Dict[str, Any]:
        """Wait for the next answer."""
        output = self._process.stdout
        assert output is not None  # noqa: S101  # asked for by stdout=PIPE
        if not select.select([output], [], [], self._timeout_s)[0]:
            raise AgentError("model", "no answer within %g s" % self._timeout_s)
        line = output.readline()
        if not line:
            raise AgentError("model", "the inference process ended: %s" % self._cause())
        answer: Dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AgentError(answer["error"], answer["message"])
        return answer

    def stop(self) -> None:
        """Stop the process and wait until it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _tell(self, message: Dict[str, Any]) -> None:
        if self._process.stdin:
            try:
                self._process.stdin.write(json.dumps(message) + "\n")
            except BrokenPipeError:
                raise AgentError("model", "the inference process is gone") from None

    def _cause(self) -> str:
        code = self._process.wait()
        return "signal %d" % -code if code < 0 else "exit code %d" % code


class _Watch:
    """Sees whether the device slowed down or others used its processors meanwhile."""

    def __init__(self, cpus: Optional[Sequence[int]], pids: Sequence[int]) -> None:
        self._cpus, self._pids = cpus, pids
        self._start, self._others_s = time.monotonic(), self._others()
        self._throttled = throttle_events()

    def disturbances(self) -> List[str]:
        """Return why the time since the start is not to be trusted; empty when it is."""
        found = []
        if throttle_events() != self._throttled:
            found.append("throttled")
        others_s = self._others()
        if others_s is not None and self._others_s is not None:
            number = len(self._cpus) if self._cpus else os.cpu_count() or 1
            available_s = (time.monotonic() - self._start) * number
            share = (others_s - self._others_s) / available_s
            if share > _OTHERS_SHARE:
                found.append("busy: others took %.0f%% of the processors" % (100 * share))
        return found

    def _others(self) -> Optional[float]:
        busy, used = busy_s(self._cpus), used_s(self._pids)
        return None if busy is None or used is None else busy - used
