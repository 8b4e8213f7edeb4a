"""Mode `layers`: what each operator takes, and what this device could do at best.

Both in a pass of its own, by one process that times nothing else; never used for gating.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from . import limits
from .inputs import feeds_for
from .session import (
    import_onnxruntime,
    open_session,
    options_of,
    prepare,
    providers_of,
    wrapped,
)
from .state import choose_cpus
from .timing import Loop
from .trtexec import Trtexec
from .wire import AgentError, Channel

_WARM_RUNS = 5
_FEWEST_RUNS, _MOST_RUNS = 10, 50
_PROFILE_S = 2.0
_PEAK_S = 0.5
_COPY_BYTES = 64 << 20
_LEAST_COPIES = 8
_PATIENCE_S = 300


def layers(spec: Dict[str, Any], channel: Channel) -> None:
    """Answer with the profile of the model, its optimized graph as a file, and the peaks.

    Spec: `model`, what `session.prepare` and `inputs.feeds_for` take; `folder` to write into;
    `gemms`: one matrix product a number format, each with its `model` and its `macs`.
    """
    if spec["runtime"] == "trtexec":
        _by_trtexec(spec, channel)
        return
    limits.keep_to_memory(spec["providers"])
    limits.expect_within(_PATIENCE_S)
    cpus = choose_cpus(spec["threads"])
    if cpus:
        os.sched_setaffinity(0, cpus)
    answer = _profiled(spec)
    channel.send({"progress": [1, 2]})
    limits.expect_within(_PATIENCE_S)
    opens = prepare(spec)
    answer["peaks"] = {
        "macs_per_s": {name: _gemm(opens, one) for name, one in spec["gemms"].items()},
        "bytes_per_s": _copy(spec["threads"]),
    }
    channel.send(answer)


def _by_trtexec(spec: Dict[str, Any], channel: Channel) -> None:
    answer = Trtexec(spec).layers()
    channel.send({"progress": [1, 2]})
    gemm = spec["gemms"]["float"]
    alone = Trtexec(dict(spec, model=gemm["model"], shapes={}, inputs=None))
    answer["peaks"] = {
        "macs_per_s": {"float": alone.macs_per_s(gemm["macs"]), "integer": None},
        "bytes_per_s": _copy(spec["threads"]),
    }
    channel.send(answer)


def _profiled(spec: Dict[str, Any]) -> Dict[str, Any]:
    onnxruntime = import_onnxruntime()
    providers = providers_of(onnxruntime, spec)
    optimized = Path(spec["folder"]) / "optimized.onnx"

    def opened(*, write: bool) -> Any:
        options = options_of(onnxruntime, providers, spec)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(spec["folder"]) / "profile")
        if write:
            options.optimized_model_filepath = str(optimized)
        return open_session(onnxruntime, providers, options, spec, spec["model"])

    try:
        session = opened(write=True)
    except AgentError:  # a graph with compiled parts cannot be written
        session = opened(write=False)
    plain = wrapped(session)
    loop = Loop(plain.run, feeds_for(plain.inputs, spec))
    try:
        typical_s = float(np.median([loop.once_ns() for _ in range(_WARM_RUNS)])) / 1e9
        runs = int(max(_FEWEST_RUNS, min(_MOST_RUNS, _PROFILE_S / typical_s)))
        for _ in range(runs):
            limits.expect_within(_PATIENCE_S)
            loop.once_ns()
    except Exception as error:  # the runtime raises whatever it likes
        raise AgentError("model", "the model does not run: %s" % error) from error
    file = Path(session.end_profiling())
    events = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return {
        "runs": runs,
        "nodes": [node._asdict() for node in nodes_of(events, _WARM_RUNS + runs, _WARM_RUNS)],
        "runs_us": [e["dur"] for e in events if e.get("name") == "model_run"][_WARM_RUNS:],
        "optimized": str(optimized) if optimized.exists() else None,
    }


class Node(NamedTuple):
    """What one operator of the optimized graph took in each run, in whole microseconds."""

    name: str
    op_type: str
    provider: str
    us: List[int]


def nodes_of(events: List[Dict[str, Any]], runs: int, warm: int) -> List[Node]:
    """Return the operators of onnxruntime's profile in the order of their first execution.

    What runs several times within one inference (the body of a loop) is summed; the first `warm`
    inferences are left out.
    """
    taken: Dict[Tuple[str, str, str], List[int]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        said = event.get("args", {})
        key = (name[: -len("_kernel_time")], said.get("op_name", ""), said.get("provider", ""))
        taken.setdefault(key, []).append(int(event["dur"]))
    return [Node(*key, us=_each_run(times, runs)[warm:]) for key, times in taken.items()]


def _each_run(times: List[int], runs: int) -> List[int]:
    """Sum what belongs to one run; where runs differ, every one gets the mean."""
    each, left = divmod(len(times), runs)
    if left or not each:
        return [round(sum(times) / runs)] * runs
    return [sum(times[at : at + each]) for at in range(0, len(times), each)]


def _gemm(opens: Callable[[str], Any], gemm: Dict[str, Any]) -> Any:
    """Return multiply-adds per second of one matrix product at its fastest; None if refused."""
    try:
        session = opens(gemm["model"])
        feeds = feeds_for(session.inputs, {"shapes": {}, "batch": 1}, count=1)
        loop = Loop(session.run, feeds)
        loop.once_ns()
        return gemm["macs"] * 1e9 / min(loop.slice_ns(_PEAK_S, _LEAST_COPIES))
    except Exception:  # noqa: BLE001  # a format that this runtime does not have has no peak
        return None


def _copy(threads: int) -> float:
    """Return bytes per second, read and written, of copies side by side at their fastest."""
    size = _COPY_BYTES // threads
    pairs = [(np.ones(size, np.uint8), np.empty(size, np.uint8)) for _ in range(threads)]
    taken_ns: List[int] = []
    until = perf_counter_ns() + int(_PEAK_S * 1e9)
    while perf_counter_ns() < until or len(taken_ns) < _LEAST_COPIES:
        copies = [threading.Thread(target=np.copyto, args=(to, of)) for of, to in pairs[1:]]
        start = perf_counter_ns()
        for copy in copies:
            copy.start()
        np.copyto(pairs[0][1], pairs[0][0])
        for copy in copies:
            copy.join()
        taken_ns.append(perf_counter_ns() - start)
    return 2 * size * threads * 1e9 / min(taken_ns)
