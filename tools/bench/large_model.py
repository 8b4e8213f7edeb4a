"""Load, cost and save a model of more than 2 GB, and print what that took.

The model is a chain of matrix products whose weights lie in one external file; most of that file
is holes, so that it needs little disk (where the file system knows holes).

    python tools/bench/large_model.py [--layers 576] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgekit import graph
from edgekit.native.warm import WARM

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

WIDTH = 1024
LAYER_BYTES = WIDTH * WIDTH * 4


def chain(layers: int) -> ModelProto:
    """Return y = x W0 W1 ... with all weights in `weights.bin`."""
    values = ["x", *(f"h{layer}" for layer in range(layers - 1)), "y"]
    weights = []
    for layer in range(layers):
        weight = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
        weight.data_location = TensorProto.EXTERNAL
        span = {"location": "weights.bin", "offset": layer * LAYER_BYTES, "length": LAYER_BYTES}
        for key, value in span.items():
            weight.external_data.add(key=key, value=str(value))
        weights.append(weight)
    nodes = [
        helper.make_node("MatMul", [values[n], f"w{n}"], [values[n + 1]], f"layer{n}")
        for n in range(layers)
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", WIDTH]) for n in "xy")
    opset = helper.make_opsetid("", 17)
    made = helper.make_graph(nodes, "chain", [x], [y], weights)
    return helper.make_model(made, opset_imports=[opset], ir_version=8)


def write(folder: Path, layers: int) -> Path:
    """Write the model; each weight differs, or the runtime would keep one for all."""
    path = folder / "model.onnx"
    path.write_bytes(chain(layers).SerializeToString())
    with (folder / "weights.bin").open("wb") as stream:
        stream.truncate(layers * LAYER_BYTES)
        for layer in range(layers):
            stream.seek(layer * LAYER_BYTES)
            stream.write(np.full(WIDTH, 1e-3 + layer * 1e-6, "f4").tobytes())
    return path


def measure(path: Path) -> None:
    """Load, cost and save, then print seconds, bytes and peaks of this process and its children."""
    started = time.monotonic()
    model = graph.load(path)
    loaded = time.monotonic()
    costs = graph.costs(model, {"x": (1, WIDTH)})
    costed = time.monotonic()
    graph.save(model, path.with_name("saved.onnx"))
    saved = time.monotonic()
    WARM.stop()
    host, child = (
        resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"parameters       {costs.parameters}")
    print(f"file_bytes       {graph.file_size(path)}")
    print(f"saved_bytes      {graph.file_size(path.with_name('saved.onnx'))}")
    print(f"load_s           {loaded - started:.2f}")
    print(f"costs_s          {costed - loaded:.2f}")
    print(f"save_s           {saved - costed:.2f}")
    print(f"host_peak_mib    {host}")
    print(f"child_peak_mib   {child}")


def main() -> None:
    """Build the model, then measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--layers", type=int, default=576, help="4 MiB each (576: 2.4 GB)")
    parser.add_argument("--folder", type=Path, help="where to build it; default: temporary")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = write(Path(folder), arguments.layers)
        again = [sys.executable, __file__, "--measure", str(path)]
        subprocess.run(again, check=True, env={**os.environ, "TMPDIR": folder})


if __name__ == "__main__":
    main()
