"""What int8 costs where every unit that the target supports is in int8, and plain int8 beside it.

    python tools/bench/int8_accuracy.py JOBS.toml [--only NAME ...] [--bits 8] [--target x86]
        [--min-sqnr 0] [--out FOLDER]
    python tools/bench/int8_accuracy.py --planted

JOBS.toml is that of optimize.py. Nothing is timed: placement is "all". Beside edgekit's own form
stand ranges from minimum to maximum, and ranges of least error, both with weights rounded to the
nearest integer and nothing else done. `dB` is the signal to quantization noise of the outputs on
the job's test samples, `own dB` on calibration samples that nothing was fitted to. With `--planted`
the networks are those of tests/passes/planted.py, whose metric is the share of answers kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from answers import scorer_of

from edgekit import bench, graph, passes
from edgekit import target as targets
from edgekit.dataset import Dataset, open_data
from edgekit.devices import LocalDevice
from edgekit.graph import Model
from edgekit.passes.quantizing import Quantizing
from edgekit.quantization import emit
from edgekit.quantization.placement import eligible_units
from edgekit.target import Target

PLANTED = Path(__file__).parents[2] / "tests" / "passes"
PLAIN = {"min-max, nearest": "min-max", "least error, nearest": "auto"}


def main() -> None:
    """Print a row a form of each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path, nargs="?")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--target", default="x86")
    parser.add_argument("--min-sqnr", type=float, default=0.0)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    step = passes.Quantize(
        placement="all", weight_bits=given.bits, min_sqnr_db=given.min_sqnr, explain=False
    )
    if given.planted:
        planted(step, targets.load(given.target))
        return
    sys.path.insert(0, str(given.jobs.parent))
    print(
        "| model | form | metric | lost | dB | own dB | units in int8 | MACs in int8 | bytes | s |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|")
    for name, job in tomllib.loads(given.jobs.read_text(encoding="utf-8")).items():
        if not given.only or name in given.only:
            for form, row, model in rows(job, given.jobs.parent, step, targets.load(given.target)):
                print(f"| {name} | {form} | {row} |", flush=True)
                if given.out:
                    given.out.mkdir(parents=True, exist_ok=True)
                    graph.save(model, given.out / f"{name}-{form.replace(', ', '-')}.onnx")


def planted(step: passes.Quantize, target: Target) -> None:
    """Print what plain int8 and edgekit's lose of the planted networks' answers."""
    sys.path.insert(0, str(PLANTED))
    from planted import BODIES, case_of  # noqa: PLC0415  # found only once the path is set

    print("| network | form | answers changed, pt |")
    print("|-|-|-|")
    for body in BODIES:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            case = case_of(body, place)
            for form, model, _facts, _seconds in forms(case.model, case.data, step, target):
                lost = case.lost_pt(model, place)
                print(f"| {body.__name__} | {form} | {lost:.2f} |", flush=True)


def rows(
    job: dict[str, str], home: Path, step: passes.Quantize, target: Target
) -> Iterator[tuple[str, str, Model]]:
    """Yield the name of a form of a job's model, its row, and the form."""
    file = home / job["model"]
    original = graph.load(file)
    data, judged_by = (open_data(home / job[one], original) for one in ("data", "eval"))
    scorer = scorer_of(job)
    with tempfile.TemporaryDirectory() as folder, LocalDevice() as device:
        written = Path(folder) / "form.onnx"
        graph.save(original, written)
        answers = bench.evaluate(device, written, judged_by, target=target)
        for form, model, facts, seconds in forms(original, data, step, target):
            graph.save(model, written)
            found = bench.accuracy(
                bench.evaluate(device, written, judged_by, target=target),
                answers,
                judged_by.labels(),
                scorer,
                metadata=original.metadata,
            )
            was, now = (float(np.mean(v)) for v in (found.original_values, found.values))
            percent, sign = (100, 1) if found.better == "higher" else (1, -1)
            own = facts.get("sqnr_db on calibration samples")
            row = (
                f"{percent * now:.4g} | {sign * percent * (was - now):.3g} | {found.sqnr_db:.1f} |"
                f" {'-' if own is None else f'{own:.1f}'} |"
                f" {facts['quantized units']} of {facts['units']} |"
                f" {100 * facts['share of multiply-adds in int8']:.0f} % |"
                f" {graph.file_size(written)} | {seconds:.0f}"
            )
            yield form, row, model


def forms(
    model: Model, data: Dataset, step: passes.Quantize, target: Target
) -> Iterator[tuple[str, Model, dict[str, Any], float]]:
    """Yield name, graph, facts and seconds of each form of a model."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        context = passes.Context(
            target=target, data=data, latencies_of=lambda _models, _effort: None, workspace=place
        )
        simple = passes.Simplify().apply(model, context).model
        for form, method in PLAIN.items():
            started = time.monotonic()
            plain = passes.Quantize(method=method, weight_bits=step.weight_bits)  # type: ignore[arg-type]  # one of METHODS
            work = Quantizing(plain, simple, context, place)
            graph.save(simple, work.float_file)
            seen = work.calibrated(simple, data)
            plan = work.planned(simple, seen, (plain.method,))[plain.method]
            units = frozenset(unit.name for unit in eligible_units(plan, target))
            facts = {
                "quantized units": len(units),
                "units": len(plan.units),
                "share of multiply-adds in int8": plan.macs_of(units)
                / max(plan.macs_of(frozenset(unit.name for unit in plan.units)), 1),
            }
            yield form, emit(simple, plan, target, units), facts, time.monotonic() - started
        started = time.monotonic()
        outcome = step.apply(simple, context)
        if outcome.changed:
            yield "edgekit", outcome.model, outcome.facts, time.monotonic() - started
        else:
            print("edgekit: nothing;", "; ".join(skip.reason for skip in outcome.skipped[:3]))


if __name__ == "__main__":
    main()
