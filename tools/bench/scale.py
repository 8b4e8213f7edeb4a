"""Show that pruning scales: in time with the nodes of a graph, in memory with the bytes of a model.

    python tools/bench/scale.py [--nodes 1000 2000 5000 10000]
    python tools/bench/scale.py --large [--layers 576] [--folder DIR]

The first prints a table in Markdown of seconds for the analysis of a residual network of mixed
operators and for the removal of half its channels, the better of two runs. The second builds a
model of more than 2 GB with external data, loads it, removes as many channels of each layer as
halves its weights, saves it, and prints the peak of memory (this process and its children, without
the pages of mapped files) as a share of the model's size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import psutil
from large_model import WIDTH, write
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.pruning.analysis import couple
from edgekit.pruning.coupling import Coupling, Keep
from edgekit.pruning.surgery import removed

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

CHANNELS, SIZE, STAGE = 16, 4, 8
RUNS = 2
INTERVAL_S = 0.02


class Network:
    """A residual network that grows by nodes; its channels are renewed every few blocks."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[TensorProto] = []
        self._random = np.random.default_rng(0)

    def grow(self, nodes: int) -> ModelProto:
        """Return a network of at least this many nodes, less than a block more."""
        value = self._conv("x", CHANNELS, 3)
        blocks = (self._bottleneck, self._squeeze_and_excite, self._shuffle, self._branches)
        while len(self.nodes) < nodes - 3:
            for block in blocks * STAGE:
                if len(self.nodes) < nodes - 3:
                    value = block(value)
            value = self._conv(value, CHANNELS, CHANNELS)
        pooled = self._node("Flatten", self._node("GlobalAveragePool", value), axis=1)
        self._node("MatMul", pooled, self._weight(CHANNELS, 10))
        self.nodes[-1].output[0] = "y"
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])
        made = helper.make_graph(self.nodes, "network", [x], [y], self.weights)
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def _node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def _weight(self, *shape: int) -> str:
        array = self._random.standard_normal(shape).astype("f4")
        return self._constant(array / np.sqrt(np.prod(shape[1:]) or 1))

    def _constant(self, array: Any) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _conv(self, x: str, out: int, read: int) -> str:
        return self._node("Conv", x, self._weight(out, read, 1, 1), self._weight(out))

    def _bottleneck(self, x: str) -> str:
        inner = self._node("Relu", self._conv(x, 2 * CHANNELS, CHANNELS))
        depthwise = self._node(
            "Conv", inner, self._weight(2 * CHANNELS, 1, 3, 3), pads=[1] * 4, group=2 * CHANNELS
        )
        back = self._conv(self._node("HardSwish", depthwise), CHANNELS, 2 * CHANNELS)
        return self._node("Add", x, back)

    def _squeeze_and_excite(self, x: str) -> str:
        inner = self._conv(self._node("GlobalAveragePool", x), 4, CHANNELS)
        gate = self._conv(self._node("Relu", inner), CHANNELS, 4)
        return self._node("Mul", x, self._node("Sigmoid", gate))

    def _shuffle(self, x: str) -> str:
        half, (n, m) = CHANNELS // 2, (SIZE, SIZE)
        parted = self._node("Reshape", x, self._constant(np.array([0, 2, half, n, m])))
        turned = self._node("Transpose", parted, perm=[0, 2, 1, 3, 4])
        return self._node("Reshape", turned, self._constant(np.array([0, CHANNELS, n, m])))

    def _branches(self, x: str) -> str:
        convs = [self._conv(x, CHANNELS // 2, CHANNELS) for _ in range(2)]
        both = self._node("Concat", convs[0], self._node("Sigmoid", convs[1]), axis=1)
        return self._node("Add", self._node("MaxPool", both, kernel_shape=[1, 1]), x)


def scale(counts: list[int]) -> None:
    """Print the table."""
    print("| nodes | analysis, s | surgery, s | both, s | s per 1,000 nodes |")
    print("|---|---|---|---|---|")
    for count in counts:
        model = graph.Model(ir=ir.from_proto(Network().grow(count)), name="network")
        nodes = len(model.ir.graph)
        analysis_s, coupling = _best(couple, model, {"x": (1, 3, SIZE, SIZE)})
        keep = _share(coupling, 0.5)
        surgery_s, _ = _best(removed, coupling, keep)
        both_s = analysis_s + surgery_s
        print(
            f"| {nodes} | {analysis_s:.2f} | {surgery_s:.2f} | {both_s:.2f}"
            f" | {both_s / nodes * 1000:.2f} |",
            flush=True,
        )


def prune_large(path: Path) -> None:
    """Load, prune and save the model, and print what that took."""
    size_bytes = graph.file_size(path)
    started = time.monotonic()
    with _peak() as peak:
        model = graph.load(path)
        coupling = couple(model, {"x": (1, WIDTH)})
        smaller = removed(coupling, _share(coupling, 0.5**0.5))
        graph.save(smaller, path.with_name("smaller.onnx"))
    print(f"seconds      {time.monotonic() - started:.1f}")
    print(f"file_bytes   {size_bytes}")
    print(f"saved_bytes  {graph.file_size(path.with_name('smaller.onnx'))}")
    print(f"peak_bytes   {peak[0]}")
    print(f"peak_share   {peak[0] / size_bytes:.2f}")


def _best(function: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """Return the seconds of the better of two runs, and the result."""
    found = []
    for _ in range(RUNS):
        started = time.perf_counter()
        result = function(*given)
        found.append((time.perf_counter() - started, result))
    return min(seconds for seconds, _ in found), found[0][1]


def _share(coupling: Coupling, share: float) -> Keep:
    """Keep this share of each group that may be pruned, evenly spread."""
    keep = coupling.everything()
    for group in coupling.groups:
        if group.pinned_by is None:
            steps = np.floor(np.arange(len(group.channels) + 1) * share)
            keep[group.channels] = np.diff(steps) > 0
    return coupling.spared(keep)


@contextlib.contextmanager
def _peak() -> Iterator[list[int]]:
    """Watch the memory of this process and its children; one number, filled at the end."""
    found, done = [0], threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not done.wait(INTERVAL_S):
            family = [me, *me.children(recursive=True)]
            found[0] = max(found[0], sum(map(_own_bytes, family)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def _own_bytes(process: psutil.Process) -> int:
    """Return resident bytes that are no file's."""
    with contextlib.suppress(psutil.Error, OSError):
        memory = process.memory_info()
        return int(memory.rss - _mapped_bytes(process.pid))
    return 0


def _mapped_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if "RssFile" in line) << 10


def main() -> None:
    """Print one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 2000, 5000, 10000])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--layers", type=int, default=576, help="4 MiB each (576: 2.4 GB)")
    parser.add_argument("--folder", type=Path, help="where to build it; default: temporary")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        prune_large(given.measure)
    elif given.large:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            path = write(Path(folder), given.layers)
            again = [sys.executable, __file__, "--measure", str(path)]
            subprocess.run(again, check=True, env={**os.environ, "TMPDIR": folder})
    else:
        scale(given.nodes)


if __name__ == "__main__":
    main()
