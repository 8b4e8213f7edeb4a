"""Quantize models of your own by edgekit, by onnxruntime and by other tools, and print a table.

    python tools/bench/quantization.py JOBS.toml [--samples 256] [--threads 1 2] [--only NAME ...]
        [--peer 'NAME=COMMAND'] [--out FOLDER]

JOBS.toml is that of optimize.py. Each tool gets the same first samples of the job's data, in a
process of its own. A peer's COMMAND is run with MODEL.onnx CALIBRATION.npz OUT.onnx behind it:

    --peer 'nncf=/venvs/nncf/bin/python run_nncf.py'

All files of a model are then judged on the same samples and timed in interleaved slices of one
session. Seconds and peak memory are those of quantizing. `dB` is the signal to quantization noise
of the outputs. The last line is the geometric mean over models of the best p50 ratio of each tool
among its files within 0.5 points (1 % where lower is better) and outside noise, fp32 counting as 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from answers import scorer_of
from onnx import load, save, version_converter
from watching import watched

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.errors import ModelError
from edgekit.job import Conditions, open_job, silent
from edgekit.measuring import timing_device

ORT = {
    "onnxruntime default": {},
    "onnxruntime min-max": {"calibrate_method": "MinMax"},
    "onnxruntime percentile": {"calibrate_method": "Percentile"},
    "onnxruntime entropy": {"calibrate_method": "Entropy"},
}
SECONDS_EACH = 3.0
POINTS, RELATIVE = 0.005, 0.01
PER_CHANNEL_OPSET = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a tool made of a model.

    Attributes:
        seconds: it took.
        peak_bytes: of its processes.
    """

    tool: str
    file: Path
    seconds: float
    peak_bytes: int


def main() -> None:
    """Print a table for each number of threads, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ort", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ort:
        by_onnxruntime(*given.ort)
        return
    out = given.out or Path(tempfile.mkdtemp(prefix="edgekit-bench-"))
    out.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(given.jobs.parent))
    best: dict[tuple[str, int], list[float]] = {}
    print("| model | threads | tool | metric | lost | dB | p50 ratio | between | size | s | MiB |")
    print("|-|-|-|-|-|-|-|-|-|-|-|")
    for name, job in tomllib.loads(given.jobs.read_text(encoding="utf-8")).items():
        if given.only and name not in given.only:
            continue
        calibration = calibrating(name, job, given, out)
        theirs = quantized(name, others(given), calibration, out)
        for threads in given.threads:
            edgekit = [sys.executable, "-m", "edgekit", "quantize", "MODEL", "--data", "DATA"]
            edgekit += ["--target", "x86", "--threads", str(threads), "--force", "-o", "OUT"]
            ours = quantized(name, {"edgekit": edgekit}, calibration, out / f"threads-{threads}")
            offered = judged(name, job, given.jobs.parent, [*ours, *theirs], threads)
            for tool in ("edgekit", *ORT, *(peer.partition("=")[0] for peer in given.peer)):
                best.setdefault((tool, threads), []).append(offered.get(tool, 1.0))
    for (tool, threads), ratios in best.items():
        speed = 1 / float(np.exp(np.mean(np.log(ratios))))
        print(f"{tool}, {threads} threads: {speed:.3f} times fp32 over {len(ratios)} models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrating:
    """What every tool is given: a model and the samples to calibrate on."""

    model: Path
    samples: Path


def calibrating(
    name: str, job: dict[str, str], given: argparse.Namespace, out: Path
) -> Calibrating:
    """Write the first samples of the job's data, the model's inputs alone, and the model.

    Of an older opset it is raised first: most tools need 13 for scales per channel.
    """
    home = given.jobs.parent.resolve()
    model, samples = home / job["model"], out / f"{name}-calibration.npz"
    if graph.load(model).opset < PER_CHANNEL_OPSET:
        raised = version_converter.convert_version(load(model), PER_CHANNEL_OPSET)
        model = out / f"{name}-opset{PER_CHANNEL_OPSET}.onnx"
        save(raised, model)
    with np.load(home / job["data"]) as data:
        inputs = [spec.name for spec in graph.load(model).inputs]
        np.savez(samples, **{key: data[key][: given.samples] for key in inputs})
    return Calibrating(model=model, samples=samples)


def others(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the commands of all tools but edgekit, with MODEL, DATA and OUT to be filled in."""
    itself = [sys.executable, __file__, str(given.jobs), "--ort"]
    commands = {tool: [*itself, tool, "MODEL", "DATA", "OUT"] for tool in ORT}
    for peer in given.peer:
        tool, _, command = peer.partition("=")
        commands[tool] = [*shlex.split(command), "MODEL", "DATA", "OUT"]
    return commands


def quantized(
    name: str, commands: dict[str, list[str]], calibration: Calibrating, out: Path
) -> list[Form]:
    """Run every tool; one that writes nothing is told with its last words."""
    out.mkdir(parents=True, exist_ok=True)
    cold = tempfile.mkdtemp(prefix="edgekit-bench-")  # what was made before is not found again
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1", "XDG_CACHE_HOME": cold}
    forms = []
    for tool, command in commands.items():
        file = out / f"{name}-{tool.replace(' ', '-')}.onnx"
        filled = {"MODEL": calibration.model, "DATA": calibration.samples, "OUT": file}
        log = file.with_suffix(".log")
        argv = [str(filled.get(word, word)) for word in command]
        code, seconds, peak = watched(argv, environment, calibration.model.parent, log)
        if code or not file.exists():
            words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            print(f"| {name} | | {tool} | nothing: {(words or ['no words'])[-1][:120]} |")
            continue
        forms.append(Form(tool=tool, file=file, seconds=seconds, peak_bytes=peak))
    return forms


def judged(
    name: str, job: dict[str, str], home: Path, forms: list[Form], threads: int
) -> dict[str, float]:
    """Print a row a form, and return for each tool the p50 ratio that it can offer: 1 at most."""
    file = home / job["model"]
    model = graph.load(file)
    data, judged_by = open_data(home / job["data"], model), open_data(home / job["eval"], model)
    conditions = Conditions(device=None, threads=threads, batch=1, shapes=None, progress=silent)
    scorer = scorer_of(job)
    offered: dict[str, float] = {}
    with open_job(file, model, targets.load("x86"), conditions, data=data) as running:
        device = timing_device(running)

        def answers(file: Path) -> Any:
            return bench.evaluate(device, file, judged_by, target=running.running.target)

        forms, made = [], forms
        outputs = {}
        for form in made:
            try:
                outputs[form.tool] = answers(form.file)
                forms.append(form)
            except ModelError as error:
                print(f"| {name} | {threads} | {form.tool} | refused: {str(error)[:120]} |")
        files = [file, *(form.file for form in forms)]
        times = bench.screen(device, files, running.running, seconds_each=SECONDS_EACH)
        original = answers(file)
        for form, time in zip(forms, times[1:], strict=True):
            found = bench.accuracy(
                outputs[form.tool],
                original,
                judged_by.labels(),
                scorer,
                metadata=model.metadata,
            )
            was, now = (float(np.mean(v)) for v in (found.original_values, found.values))
            lost = was - now if found.better == "higher" else now - was
            allowed = POINTS if found.better == "higher" else RELATIVE * was
            percent = 100 if found.better == "higher" else 1
            print(
                f"| {name} | {threads} | {form.tool} | {percent * now:.4g} |"
                f" {percent * lost:.3g} | {found.sqnr_db:.1f} | {time.ratio.value:.3f} |"
                f" {time.ratio.low:.3f} to {time.ratio.high:.3f} |"
                f" {graph.file_size(form.file) / graph.file_size(file):.3f} |"
                f" {form.seconds:.0f} | {form.peak_bytes / 2**20:.0f} |",
                flush=True,
            )
            faster = lost <= allowed and time.ratio.high < 1
            offered[form.tool] = time.ratio.value if faster else 1.0
    return offered


def by_onnxruntime(tool: str, model: str, calibration: str, out: str) -> None:
    """Quantize as onnxruntime's own documents advise for x86; its default where so named."""
    from onnxruntime import quantization as ort  # noqa: PLC0415  # only in the tool's process
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            with np.load(calibration) as data:
                arrays = {key: data[key] for key in data.files}
            count = len(next(iter(arrays.values())))
            self.samples = iter(
                {key: array[at : at + 1] for key, array in arrays.items()} for at in range(count)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self.samples, None)

    options: dict[str, Any] = {}
    if ORT[tool]:
        options = {
            "per_channel": True,
            "activation_type": ort.QuantType.QUInt8,
            "weight_type": ort.QuantType.QInt8,
            "calibrate_method": ort.CalibrationMethod[ORT[tool]["calibrate_method"]],
        }
    ready = f"{out}.ready.onnx"
    quant_pre_process(model, ready, skip_symbolic_shape=True)
    ort.quantize_static(ready, out, Reader(), **options)
    Path(ready).unlink()


if __name__ == "__main__":
    main()
