"""Prune models of your own as `edgekit prune` does, and print a table.

    python tools/bench/pruning.py JOBS.toml [--keep 0.7 0.5 0.3] [--criteria obs] [--only NAME]
        [--granularity mixed] [--rounds 0] [--out FOLDER]

JOBS.toml is that of optimize.py. The metric is the job's, top-1 in percent if it names none;
seconds are of the step alone. With `--out` the models are kept, to be timed: `edgekit profile
FOLDER/NAME-CRITERION-KEEP.onnx --against MODEL`. criteria.py compares the criteria alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from answers import opened

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.applying import apply, context_of
from edgekit.candidate import StepRecord
from edgekit.dataset import Dataset
from edgekit.errors import EdgekitError
from edgekit.graph import Model
from edgekit.job import Conditions, open_job, silent


def main() -> None:
    """Prune every model in every way that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.7, 0.5, 0.3])
    parser.add_argument("--criteria", nargs="+", default=["obs"])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--granularity", default="mixed")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print("| model | criterion | keep | MACs kept | blocks | way | dense | pruned | lost | s |")
    print("|-|-|-|-|-|-|-|-|-|-|")
    for task in opened(given.jobs, given.only):
        dense = task.score(task.model)
        for criterion in given.criteria:
            for keep in given.keep:
                step = passes.Prune(
                    keep_macs=keep,
                    criterion=criterion,
                    granularity=given.granularity,
                    rounds=given.rounds,
                )
                row = f"| {task.name} | {criterion} | {keep:g} |"
                try:
                    pruned, record = _pruned(step, task.model, task.data)
                except EdgekitError as error:
                    print(row, error, "|", flush=True)
                    continue
                found = task.score(pruned)
                print(
                    row,
                    f"{record.facts['multiply-adds kept']:.3f} |"
                    f" {len(record.facts['blocks removed'])} | {record.facts['chosen']} |"
                    f" {dense:.4g} | {found:.4g} | {task.lost(dense, found):.3g} |"
                    f" {record.seconds:.0f} |",
                    flush=True,
                )
                if given.out:
                    graph.save(pruned, given.out / f"{task.name}-{criterion}-{keep:g}.onnx")


def _pruned(step: passes.Prune, model: Model, data: Dataset) -> tuple[Model, StepRecord]:
    conditions = Conditions(device=None, threads=1, batch=1, shapes=None, progress=silent)
    with open_job(Path(model.name), model, targets.load("x86"), conditions, data=data) as job:
        context = context_of(job, data)
        simplified, _record = apply(passes.Simplify(), model, context)
        pruned, record = apply(step, simplified, context)
        result, _record = apply(passes.Layout(), pruned, context)
    return result, record


if __name__ == "__main__":
    main()
