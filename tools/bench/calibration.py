"""Calibration beside onnxruntime's own calibrators: seconds, peak memory, and the same ranges.

Usage: python tools/bench/calibration.py MODEL.onnx DATA.npz [--most 2048]

Makes two folders of shards from DATA (64 samples and the most: repeated, with noise added), runs
each calibrator in a process of its own, and edgekit's also over other shards and another order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

NOISE = 0.05
REPEATS = 3


def main() -> None:
    """Print the table, and the limits that it must keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--most", type=int, default=2048)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(JOBS[options.job](options.model, options.data)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options.model, options.data, Path(folder), options.most)


def compare(model: Path, data: Path, folder: Path, most: int) -> None:
    """Run all jobs and print what they took."""
    places = {}
    for name, count, size, turned in (
        ("64", 64, 16, False),
        ("most", most, 16, False),
        ("64 in one shard", 64, 64, False),
        ("64 in shards of 7, other order", 64, 7, True),
    ):
        places[name] = folder / name.replace(" ", "-")
        make_shards(data, places[name], count, size, turned=turned)
    simple = folder / "simple.onnx"
    simplify(model, simple)
    repeated = [
        [run(simple, places["64"], job) for job in ("edgekit", "min-max")] for _ in range(REPEATS)
    ]
    quick, other = (
        min(runs, key=lambda row: row["seconds"]) for runs in zip(*repeated, strict=True)
    )
    rows = [
        (f"edgekit, 64 samples (best of {REPEATS})", quick),
        (f"edgekit, {most} samples", run(simple, places["most"], "edgekit")),
        (f"onnxruntime min-max, 64 (best of {REPEATS})", other),
        (f"onnxruntime min-max, {most}", run(simple, places["most"], "min-max")),
        ("onnxruntime entropy, 64", run(simple, places["64"], "entropy")),
    ]
    print(f"{'calibrator':42} {'seconds':>8} {'peak MB':>8}")
    for name, row in rows:
        print(f"{name:42} {row['seconds']:8.2f} {row['peak_bytes'] / 1e6:8.0f}")
    ours, long, minmax, _, entropy = (row for _, row in rows)
    others = [run(simple, places[name], "edgekit")["ranges"] for name in list(places)[2:]]
    memory = long["peak_bytes"] / ours["peak_bytes"]
    print(f"\npeak memory, {most} against 64 samples: {memory:.2f} (at most 1.1)")
    share = ours["peak_bytes"] / entropy["peak_bytes"]
    print(f"peak memory against onnxruntime's entropy calibrator: {share:.2f} (at most 0.2)")
    print(f"seconds against min-max: {ours['seconds'] / minmax['seconds']:.2f} (at most 1.5)")
    same = all(other == ours["ranges"] for other in others)
    print(f"ranges bit-identical in other shards and order: {'yes' if same else 'NO'}")


def make_shards(data: Path, folder: Path, count: int, size: int, *, turned: bool) -> None:
    """Write `count` samples in shards of `size`; the same samples whatever `size` and order."""
    folder.mkdir()
    with np.load(data) as arrays:
        names = [name for name in arrays.files if name != "label"]
        source = {name: arrays[name] for name in names}
    order = list(range(count))
    if turned:
        np.random.default_rng(7).shuffle(order)
    for at in range(0, count, size):
        rows = [sample(source, index) for index in order[at : at + size]]
        stacked: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in names}
        np.savez(folder / f"shard-{at:05d}.npz", **stacked)


def sample(source: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """Return sample `index`: one of the source's, with noise of its own."""
    rng = np.random.default_rng(index)
    rows = {name: array[index % len(array)] for name, array in source.items()}
    return {
        name: row + (NOISE * row.std() * rng.standard_normal(row.shape)).astype(row.dtype)
        for name, row in rows.items()
    }


def simplify(model: Path, written: Path) -> None:
    """Write the simplified model, what edgekit calibrates."""
    from edgekit import graph, passes, target  # noqa: PLC0415  # not in the measured processes
    from edgekit.graph.shapes import infer_shapes  # noqa: PLC0415  # as above

    context = passes.Context(
        target=target.load("x86"),
        data=None,
        latencies_of=lambda _models, _effort: None,
        workspace=written.parent,
    )
    simple = passes.Simplify().apply(graph.load(model), context).model
    graph.save(infer_shapes(simple), written)


def run(model: Path, data: Path, job: str) -> dict[str, object]:
    """Run one job in a fresh process and return what it printed."""
    command = [sys.executable, __file__, str(model), str(data), "--job", job]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


def calibrate(model: Path, data: Path) -> dict[str, object]:
    """Calibrate with edgekit, all ranges chosen."""
    import onnx_ir as ir  # noqa: PLC0415  # only the process that needs it

    from edgekit.activations import stream  # noqa: PLC0415  # as above
    from edgekit.dataset.npz import NpzDataset  # noqa: PLC0415  # as above
    from edgekit.graph import Model  # noqa: PLC0415  # as above
    from edgekit.quantization import observer_of, plan_of  # noqa: PLC0415  # as above

    loaded = Model(ir=ir.load(model), name=model.name)
    watching, names, empty = observer_of(loaded)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "observed.onnx")
        ir.save(watching.ir, file)
        started = time.perf_counter()
        seen = stream(file, NpzDataset.open(data), names, empty)
    seconds = time.perf_counter() - started
    plan = plan_of(loaded.ir.graph, seen)
    digest = hashlib.sha256()
    for name, span in sorted(plan.ranges.items()):
        digest.update(f"{name} {span.low.hex()} {span.high.hex()} {span.method}".encode())
    for name, mean in sorted(plan.means.items()):
        digest.update(name.encode() + mean.tobytes())
    return {"seconds": seconds, "peak_bytes": peak_bytes(), "ranges": digest.hexdigest()}


def calibrate_min_max(model: Path, data: Path) -> dict[str, object]:
    """Calibrate with onnxruntime's min-max calibrator."""
    return calibrate_with_onnxruntime(model, data, "MinMax")


def calibrate_entropy(model: Path, data: Path) -> dict[str, object]:
    """Calibrate with onnxruntime's entropy calibrator."""
    return calibrate_with_onnxruntime(model, data, "Entropy")


def calibrate_with_onnxruntime(model: Path, data: Path, method: str) -> dict[str, object]:
    """Calibrate one sample at a time on one thread's worth of work."""
    import onnxruntime as ort  # noqa: PLC0415  # only the process that needs it
    from onnxruntime.quantization import (  # noqa: PLC0415  # as above
        CalibrationDataReader,
        CalibrationMethod,
        create_calibrator,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.samples = read(data)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.samples, None)

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            model,
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod[method],
        )
        started = time.perf_counter()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        calibrator.infer_session = ort.InferenceSession(
            str(Path(folder, "augmented.onnx")), options, providers=["CPUExecutionProvider"]
        )
        calibrator.collect_data(Reader())
        calibrator.compute_data()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_bytes": peak_bytes()}


def read(data: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield each sample of a folder of shards as a batch of one."""
    for path in sorted(data.glob("*.npz")):
        with np.load(path) as arrays:
            shard = {name: arrays[name] for name in arrays.files}
        for index in range(len(next(iter(shard.values())))):
            yield {name: array[index : index + 1] for name, array in shard.items()}


def peak_bytes() -> int:
    """Return the peak resident memory of this process since it started."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


JOBS = {"edgekit": calibrate, "min-max": calibrate_min_max, "entropy": calibrate_entropy}

if __name__ == "__main__":
    main()
