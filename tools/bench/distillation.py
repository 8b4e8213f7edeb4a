"""Distil students as `edgekit distill --student auto` does, and print a table.

    python tools/bench/distillation.py JOBS.toml DATA OUT --row NAME[+NAME...]:KEEP[=NAME] ...
        [--seeds 0] [--minutes 30] [--epochs 0]

JOBS.toml is that of optimize.py, DATA what students learn from. The jobs of a row teach, and the
student is pruned from the first of them, to KEEP of its multiply-adds, or from the one behind `=`,
by `edgekit prune`, once for all rows and seeds. Models, and what is known of them, are kept in the
folder OUT: what is done is not done again, and a training that was ended goes on. The metric is
the first job's, top-1 in percent if it names none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answers import opened

from edgekit import graph
from edgekit.single import prune
from edgekit.students import distill


@dataclass(frozen=True, slots=True)
class Row:
    """Who teaches, and what the student is: `keep` of `origin`, or of the first teacher."""

    teachers: tuple[str, ...]
    keep: float
    origin: str | None


def main() -> None:
    """Distil every student that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--row", action="append", required=True, dest="rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--epochs", type=float, default=0.0)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    print("| teachers | student | seed | teacher | student | lost | held-out answers alike | min |")
    print("|-|-|-|-|-|-|-|-|")
    for text in given.rows:
        names, _, of = text.partition(":")
        keep, _, origin = of.partition("=")
        row = Row(tuple(names.split("+")), float(keep), origin or None)
        found = [_student(given, row, seed, given.out / f"{text}-{seed}") for seed in given.seeds]
        for seed, one in zip(given.seeds, found, strict=True):
            print(
                f"| {names} | {of} | {seed} | {one['teacher']:.2f} | {one['student']:.2f} |"
                f" {one['lost']:.2f} | {one['alike']} | {one['seconds'] / 60:.1f} |",
                flush=True,
            )
        if len(found) > 1:
            scores = [one["student"] for one in found]
            print(
                f"| {names} | {of} | all | | {statistics.mean(scores):.2f} +-"
                f" {statistics.stdev(scores):.2f} | | | |",
                flush=True,
            )


def _student(given: argparse.Namespace, row: Row, seed: int, stem: Path) -> dict[str, Any]:
    """Return what is known of one student; it is made where it is not there."""
    known, file = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.onnx")
    if known.exists():
        found: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
        return found
    jobs = tomllib.loads(given.jobs.read_text(encoding="utf-8"))
    models = {name: given.jobs.parent / one["model"] for name, one in jobs.items()}
    start = given.out / f"{row.keep:g}={row.origin}.onnx"
    if row.origin and not start.exists():
        prune(models[row.origin], data=given.data, out=start, keep_macs=row.keep)
    record = distill(
        [models[name] for name in row.teachers],
        student=start if row.origin else "auto",
        keep_macs=None if row.origin else row.keep,
        data=given.data,
        out=file,
        minutes=given.minutes,
        epochs=given.epochs,
        seed=seed,
        force=True,
        progress=_said(),
    )
    task = next(opened(given.jobs, row.teachers[:1]))
    teacher, student = task.score(task.model), task.score(graph.load(file))
    found = {
        "teacher": teacher,
        "student": student,
        "lost": task.lost(teacher, student),
        "alike": record.facts.get("equal held-out answers"),
        "seconds": record.seconds,
        "facts": record.facts,
    }
    known.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _said() -> Any:
    """Return what prints each new thing that is done, once."""
    seen: set[str] = set()

    def report(what: str, _done: int, _total: int) -> None:
        if what not in seen:
            seen.add(what)
            print(f"  {what}", flush=True)

    return report


if __name__ == "__main__":
    main()
