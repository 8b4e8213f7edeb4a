"""Show how near a device's answers are to this machine's, for the float and the int8 forms.

    python tools/bench/arm64.py JOBS.toml --device NAME [--target arm-cpu] [--samples 16]
        [--only NAME ...] [--inventory FILE] [--out FOLDER]

JOBS.toml is that of optimize.py; NAME is a device of the inventory, such as the emulated one of
tools/arm64-device. Nothing is timed: the int8 forms are what the target's facts place (`facts`)
and every unit that the target has a kernel for (`all`). A step is the range of an output over the
samples, as this machine answers, divided by 255. Beside it stand the steps by which this machine
differs from itself when every input moves by a millionth: what float parts before an int8 one
round differently on another device does as much. Forms are kept in FOLDER and used again. On x86
onnxruntime leaves some operators with int8 activations in float; here it is told to take them all,
as it does on ARM.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from answers import opened

from edgekit import bench, graph, passes
from edgekit import target as targets
from edgekit.dataset import Dataset, spread
from edgekit.devices import open_device
from edgekit.graph import Model
from edgekit.target import Target

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

Answers = list[npt.NDArray[Any]]

_MOVED = 1e-6
_PLACED = {"facts": "measured", "all": "all"}
"""How `Quantize` is told; without latencies, `measured` goes by the target's facts."""


def main() -> None:
    """Print a row a form of each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--target", default="arm-cpu")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--inventory", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    target = targets.load(given.target)
    print("| model | form | largest difference | in steps | over half | SQNR, dB | own steps |")
    print("|-|-|-|-|-|-|-|")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device(given.device, given.inventory) as device,
    ):
        for task in opened(given.jobs, given.only):
            few = spread(task.judged_by, given.samples)
            for form in ("float", *_PLACED):
                file = Path(given.out or folder) / f"{task.name}-{form}.onnx"
                if not file.exists():
                    _write(task.model, form, task.data, target, file)
                if not file.exists():
                    print(f"| {task.name} | {form} | - | - | - | nothing is int8 |", flush=True)
                    continue
                here = _answers(file, few)
                there = bench.evaluate(device, file, few, target=target)
                own = _apart(here, _answers(file, few, moved=_MOVED))
                print(f"| {task.name} | {form} | {_row(here, there)} | {own:.3f} |", flush=True)


def _write(model: Model, form: str, data: Dataset, target: Target, file: Path) -> None:
    """Write a form of a model; nothing when the pass leaves the model as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if form == "float":
        graph.save(model, file)
        return
    with tempfile.TemporaryDirectory() as folder:
        context = passes.Context(
            target=target,
            data=data,
            latencies_of=lambda _models, _effort: None,
            workspace=Path(folder),
        )
        simple = passes.Simplify().apply(model, context).model
        step = passes.build("quantize", {"placement": _PLACED[form], "explain": False})
        outcome = step.apply(simple, context)
        if outcome.changed:
            graph.save(outcome.model, file)


def _answers(file: Path, data: Dataset, moved: float = 0.0) -> Answers:
    """Return what this machine answers, with the kernels that ARM has.

    Args:
        file: the model.
        data: samples.
        moved: share of itself by which each float input is moved, up or down.
    """
    draw = np.random.default_rng(0)

    def fed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not moved or array.dtype.kind != "f":
            return array[None]
        return (array * (1 + moved * draw.choice((-1, 1), array.shape))).astype(array.dtype)[None]

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    rows = [
        session.run(None, {name: fed(array) for name, array in sample.items()})
        for sample in data.samples()
    ]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _apart(here: Answers, there: Answers) -> float:
    """Return the largest difference over all outputs, in steps of its output."""
    return max(float(np.abs(a - b).max() / _step(a)) for a, b in zip(here, there, strict=True))


def _step(answers: npt.NDArray[Any]) -> float:
    return float(answers.max() - answers.min()) / 255 or 1.0


def _row(here: Answers, there: Answers) -> str:
    """Return how far answers are apart."""
    largest = max(float(np.abs(a - b).max()) for a, b in zip(here, there, strict=True))
    over = sum(int((abs(a - b) > _step(a) / 2).sum()) for a, b in zip(here, there, strict=True))
    share = 100 * over / sum(array.size for array in here)
    sqnr = bench.sqnr_db(there, here)
    return f"{largest:.2g} | {_apart(here, there):.3f} | {share:.2f} % | {sqnr:.1f}"


if __name__ == "__main__":
    main()
