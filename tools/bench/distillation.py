"""Distil students as `edgekit distill --student auto` does, and print a table.

    python tools/bench/distillation.py JOBS.toml DATA OUT --row NAME[+NAME...]:KEEP ...
        [--seeds 0] [--minutes 30] [--epochs 0]

JOBS.toml is that of optimize.py, DATA what students learn from. A row's first job is the teacher
that the student is pruned from, to KEEP of its multiply-adds; all of them teach. Models, and what
is known of them, are kept in the folder OUT: what is done is not done again, and a training that
was ended goes on. The metric is the first job's, top-1 in percent if it names none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from pathlib import Path
from typing import Any

from answers import opened

from edgekit import graph
from edgekit.students import distill


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
    print("| teachers | keep | seed | teacher | student | lost | held-out answers alike | min |")
    print("|-|-|-|-|-|-|-|-|")
    for row in given.rows:
        names, _, keep = row.partition(":")
        found = [
            _student(given, names.split("+"), float(keep), seed, given.out / f"{row}-{seed}")
            for seed in given.seeds
        ]
        for seed, one in zip(given.seeds, found, strict=True):
            print(
                f"| {names} | {keep} | {seed} | {one['teacher']:.2f} | {one['student']:.2f} |"
                f" {one['lost']:.2f} | {one['alike']} | {one['seconds'] / 60:.1f} |",
                flush=True,
            )
        if len(found) > 1:
            scores = [one["student"] for one in found]
            print(
                f"| {names} | {keep} | all | | {statistics.mean(scores):.2f} +-"
                f" {statistics.stdev(scores):.2f} | | | |",
                flush=True,
            )


def _student(
    given: argparse.Namespace, names: list[str], keep: float, seed: int, stem: Path
) -> dict[str, Any]:
    """Return what is known of one student; it is made where it is not there."""
    known, file = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.onnx")
    if known.exists():
        found: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
        return found
    jobs = tomllib.loads(given.jobs.read_text(encoding="utf-8"))
    record = distill(
        [given.jobs.parent / jobs[name]["model"] for name in names],
        student="auto",
        keep_macs=keep,
        data=given.data,
        out=file,
        minutes=given.minutes,
        epochs=given.epochs,
        seed=seed,
        force=True,
        progress=_said(),
    )
    task = next(opened(given.jobs, names[:1]))
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
