"""Run `edgekit optimize` on models of your own and print what came of it as a table.

    python tools/bench/optimize.py JOBS.toml [--threads 1 2] [--out FOLDER]

JOBS.toml has one table a model:

    [resnet]
    model = "fashion_resnet.onnx"
    data = "fashion_calib.npz"
    eval = "fashion_test.npz"
    metric = "ocr_metric:character_error"   # optional, with metric_better = "lower"

Paths are relative to JOBS.toml; a metric's module is looked for beside it. Latency ratios carry the
interval that the verdict rests on; peak memory is the sum over the command and its children.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import tomllib
from pathlib import Path

import tomlkit
from watching import watched

from edgekit import bundle, judging, units


def main() -> None:
    """Run every job at every number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--profile", default="quantize-only")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp(prefix="edgekit-bench-"))
    out.mkdir(parents=True, exist_ok=True)
    jobs = tomllib.loads(given.jobs.read_text(encoding="utf-8"))
    print(
        "| model | threads | metric fp32 | metric result | p50 ratio | between | size ratio |"
        " MACs int8 | chosen | ruling | s | peak MiB |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|-|-|")
    for name, job in jobs.items():
        if given.only and name not in given.only:
            continue
        for threads in given.threads:
            folder = out / f"{name}-{threads}.bundle"
            seconds, peak = _run(
                given.jobs.parent, name, job, threads=threads, profile=given.profile, folder=folder
            )
            print(_row(name, threads, folder, seconds, peak), flush=True)


def _run(
    home: Path, name: str, job: dict[str, str], *, threads: int, profile: str, folder: Path
) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as scratch:
        if "metric" in job:
            profile = str(_with_metric(Path(scratch), name, job, profile))
        command = [
            sys.executable,
            "-m",
            "edgekit",
            "optimize",
            str(home / job["model"]),
            "--target",
            "x86",
            "--data",
            str(home / job["data"]),
            "--eval",
            str(home / job["eval"]),
            "--profile",
            profile,
            "--threads",
            str(threads),
            "--out",
            str(folder),
            "--force",
        ]
        cold = tempfile.mkdtemp(prefix="edgekit-bench-")  # what was made before is not found again
        environment = {**os.environ, "PYTHONPATH": str(home), "XDG_CACHE_HOME": cold}
        _, seconds, peak = watched(command, environment, home, folder.with_suffix(".log"))
        return seconds, peak


def _with_metric(scratch: Path, name: str, job: dict[str, str], profile: str) -> Path:
    from edgekit import release  # noqa: PLC0415  # only where a job names a metric

    found = release.load(profile)
    path = scratch / f"{name}.toml"
    document = {
        "schema": 1,
        "name": name,
        "title": name,
        "steps": [{"name": step.name, "params": dict(step.params)} for step in found.steps],
        "budgets": [budget.text for budget in found.budgets],
        "metric": job["metric"],
        "metric_better": job.get("metric_better", "higher"),
    }
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return path


def _row(name: str, threads: int, folder: Path, seconds: float, peak: int) -> str:
    if not bundle.is_finished(folder):
        log = folder.with_suffix(".log").read_text(encoding="utf-8").strip().splitlines()
        return f"| {name} | {threads} | {log[-1] if log else 'no output'} |"
    result = bundle.read(folder).result
    measured = result.measurement_of(result.chosen)
    if measured is None or (accuracy := measured.accuracy) is None:
        return f"| {name} | {threads} | {result.ruling}, not measured |"
    ratio = judging.estimate("latency.p50.ratio", measured).interval
    percent = 100 if accuracy.better == "higher" else 1
    was = percent * sum(accuracy.original_values) / max(1, len(accuracy.original_values))
    now = percent * sum(accuracy.values) / max(1, len(accuracy.values))
    chosen = result.chosen_candidate
    share = next(
        (
            step.facts["share of multiply-adds in int8"]
            for step in reversed(chosen.steps)
            if "share of multiply-adds in int8" in step.facts
        ),
        0.0,
    )
    between = f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else "-"
    return (
        f"| {name} | {threads} | {was:.4g} | {now:.4g} | {ratio.value if ratio else 0:.3f} |"
        f" {between} | {measured.size_bytes / measured.original_size_bytes:.3f} |"
        f" {units.percent(share)} | {chosen.name} | {result.ruling} | {seconds:.0f} |"
        f" {peak / 2**20:.0f} |"
    )


if __name__ == "__main__":
    main()
