"""Record blocks of a model against itself and against a slower self: what a gate's rates rest on.

    python tools/bench/record_blocks.py MODEL --shape 1x1x28x28 --out RECORD.npz [--blocks 400]

Two kinds take turns: `same` (A/A) and `slower` (against the model made slower by `--share`, 5% by
default; see slower.py). Run again to go on: RECORD.npz is replaced after each pair of blocks and
holds, a row a block, `kind`, `medians_s` (4 runs, rounds; NaN fills up) and `disturbed`, and the
share that was `planted`. `gate_rates.py` reads it. 260 blocks of each kind are 2,080 runs; the
machine must do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from slower import plant

from edgekit import bench
from edgekit import target as targets
from edgekit.bench import Running
from edgekit.candidate import Candidate
from edgekit.devices import open_device
from edgekit.measurement import Block

KINDS = ("same", "slower")
_MOST_ROUNDS = 12


def main() -> None:
    """Record until there are enough undisturbed blocks of each kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--shape", required=True, help="of the model's input, e.g. 1x1x28x28")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=260)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    shape = tuple(int(axis) for axis in given.shape.split("x"))
    slow = given.out.with_suffix(".slower.onnx")
    record = _read(given.out)
    if not slow.exists() or "planted" not in record:
        record = {"planted": plant(given.model, slow, given.share, shape)}
    with open_device("local") as device:
        running = Running(
            target=_target(device.providers()), threads=given.threads, shapes=_named(given, shape)
        )
        original = _candidate(given.model)
        start, taken = time.monotonic(), 0
        while True:
            wanted = [kind for kind in KINDS if _good(record, kind) < given.blocks]
            if not wanted:
                break
            for kind in wanted:
                other = original if kind == "same" else _candidate(slow)
                for block in bench.compare(device, original, other, running, looks=(1,)):
                    _add(record, kind, block)
            _write(given.out, record)
            taken += len(wanted)
            left = sum(max(0, given.blocks - _good(record, kind)) for kind in KINDS)
            minutes = left * (time.monotonic() - start) / taken / 60
            counted = ", ".join(f"{_good(record, kind)} {kind}" for kind in KINDS)
            print(f"{counted}; about {minutes:.0f} minutes left", flush=True)


def _named(given: argparse.Namespace, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    import onnx  # noqa: PLC0415  # only to learn the input's name

    graph = onnx.load(given.model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return {value.name: shape for value in graph.input if value.name not in weights}


def _target(providers: tuple[str, ...]) -> targets.Target:
    known = (targets.load(name) for name in targets.names())
    return next(target for target in known if target.is_local(providers))


def _candidate(file: Path) -> Candidate:
    return Candidate(name=file.stem, file=file, sha256="", size_bytes=file.stat().st_size)


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        record = {name: list(stored[name]) for name in stored.files if name != "planted"}
        return {**record, "planted": float(stored["planted"][0])}


def _good(record: dict[str, Any], kind: str) -> int:
    rows = zip(record.get("kind", []), record.get("disturbed", []), strict=True)
    return sum(1 for each, disturbed in rows if each == kind and not disturbed)


def _add(record: dict[str, Any], kind: str, block: Block) -> None:
    medians = np.full((4, _MOST_ROUNDS), np.nan)
    for at, run in enumerate(block.runs):
        medians[at, : len(run.rounds)] = [np.median(samples) for samples in run.rounds]
    record.setdefault("kind", []).append(kind)
    record.setdefault("medians_s", []).append(medians)
    record.setdefault("disturbed", []).append(bool(block.disturbed))


def _write(file: Path, record: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {
        name: np.asarray([values] if name == "planted" else values)
        for name, values in record.items()
    }
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as part:
        np.savez_compressed(part, **arrays)
    Path(part.name).replace(file)


if __name__ == "__main__":
    main()
