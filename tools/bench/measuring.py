"""Show that measuring is right, in two figures.

    python tools/bench/measuring.py MODEL --shape 1x1x28x28 [--threads N]

1. p50 by the agent and by a bare `session.run` loop, interleaved, over fresh pairs of processes.
2. The peak memory that 200 MB more add.

How often the gate is right is `gate_rates.py`'s.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from edgekit import statistics
from edgekit.devices import agent_archive

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_SPEC = {
    "runtime": "onnxruntime",
    "providers": ["CPUExecutionProvider"],
    "exact": True,
    "config": {},
    "batch": 1,
    "shapes": {},
    "inputs": None,
}
_PAIRS, _ROUNDS, _SLICE_S = 20, 12, 0.03
_BARE = Path(__file__).with_name("bare_loop.py")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = agent_archive(Path(folder))
        found = [_agent_to_bare(archive, given) for _ in range(_PAIRS)]
        low, high = statistics.mean_bounds(np.log(found), 0.975)
        print(
            f"p50, agent / bare loop: {np.exp(np.mean(np.log(found))):.4f}, between"
            f" {np.exp(low):.4f} and {np.exp(high):.4f} (95%, {_PAIRS} fresh pairs)"
        )
        seen = _planted(archive, Path(folder))
        print(f"200 MB more are seen as {seen / 1e6:.2f} MB ({seen / 2e8 - 1:+.2%})")


class _Process:
    """A process that is stopped while it has nothing to answer."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def tell(self, line: str) -> str:
        os.kill(self.process.pid, signal.SIGCONT)
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise ValueError("the process was started without pipes")
        stdin.write(line + "\n")
        answer = stdout.readline()
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def _agent_to_bare(archive: Path, given: argparse.Namespace) -> float:
    cpu = max(os.sched_getaffinity(0)) if given.threads == 1 else None
    spec = {**_SPEC, "model": str(given.model), "threads": given.threads}
    spec["shapes"] = {_input_of(given.model): [int(axis) for axis in given.shape.split("x")]}
    agent = _Process([sys.executable, str(archive), "infer", "-"])
    place = "any" if cpu is None else str(cpu)
    bare = _Process(
        [sys.executable, str(_BARE), str(given.model), str(given.threads), place, given.shape]
    )
    try:
        agent.tell(json.dumps(spec))
        agent.tell(json.dumps({"do": "load", "cpus": None if cpu is None else [cpu]}))
        agent.tell(json.dumps({"do": "warm-up"}))
        bare.tell("0.3")
        command = json.dumps({"do": "slice", "seconds": _SLICE_S, "least": 3})

        def agents() -> float:
            return float(np.median(json.loads(agent.tell(command))["samples_ns"]))

        def bares() -> float:
            return float(np.median(json.loads(bare.tell(str(_SLICE_S)))[1:]))

        return _interleaved(agents, bares)
    finally:
        agent.end()
        bare.end()


def _interleaved(first: Callable[[], float], second: Callable[[], float]) -> float:
    ratios = []
    for number in range(_ROUNDS):
        if number % 2:
            other, own = second(), first()
        else:
            own, other = first(), second()
        ratios.append(own / other)
    return float(np.median(ratios))


def _input_of(model: Path) -> str:
    import onnx  # noqa: PLC0415  # only to learn the input's name

    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return next(str(value.name) for value in graph.input if value.name not in weights)


def _planted(archive: Path, folder: Path) -> int:
    """Return by how much the peak grows when the input is 200 MB larger and nothing else is."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "first"], ["y"])],
        "first",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.array(0, np.int64), "first")],
    )
    model = folder / "first.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)

    def peak(count: int) -> int:
        np.savez(folder / f"{count}.npz", np.ones((1, count), np.float32))
        sent = {"file": str(folder / f"{count}.npz"), "names": ["x"]}
        agent = _Process([sys.executable, str(archive), "infer", "-"])
        try:
            agent.tell(json.dumps({**_SPEC, "threads": 1, "model": str(model), "inputs": sent}))
            answer = json.loads(agent.tell(json.dumps({"do": "load", "cpus": None})))
        finally:
            agent.end()
        return int(answer["memory"]["peak_bytes"])

    return peak(50_000_000) - peak(1)


if __name__ == "__main__":
    main()
