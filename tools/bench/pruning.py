"""Prune models of your own by every criterion, with and without refitting, and print a table.

    python tools/bench/pruning.py JOBS.toml [--keep 0.7 0.5 0.3] [--criteria obs l2] [--only NAME]
        [--granularity mixed] [--rounds 0] [--sliced] [--out FOLDER]

JOBS.toml is that of optimize.py. The metric is top-1 of the labelled samples; seconds are of the
step alone. `--sliced` adds a row without refitting. With `--out` the refitted models are kept, to
be timed: `edgekit profile FOLDER/NAME-CRITERION-KEEP.onnx --against MODEL`.
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from pathlib import Path

from edgekit import bench, graph, passes
from edgekit import target as targets
from edgekit.dataset import Dataset, open_data
from edgekit.devices import LocalDevice
from edgekit.errors import EdgekitError
from edgekit.graph import Model
from edgekit.job import Conditions, open_job, silent
from edgekit.pruning.criteria import CRITERIA
from edgekit.stages import apply, context_of


def main() -> None:
    """Prune every model in every way that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.7, 0.5, 0.3])
    parser.add_argument("--criteria", nargs="+", default=[one.name for one in CRITERIA])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--granularity", default="mixed")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--sliced", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print("| model | criterion | keep | refitted | MACs kept | dense | pruned | lost, pt | s |")
    print("|-|-|-|-|-|-|-|-|-|")
    for name, job in tomllib.loads(given.jobs.read_text(encoding="utf-8")).items():
        if given.only and name not in given.only:
            continue
        model = graph.load(given.jobs.parent / job["model"])
        data = open_data(given.jobs.parent / job["data"], model)
        judged_by = open_data(given.jobs.parent / job["eval"], model)
        dense = _top1(model, judged_by)
        for criterion in given.criteria:
            for keep in given.keep:
                for refitted in (True, False) if given.sliced else (True,):
                    step = passes.Prune(
                        keep_macs=keep,
                        criterion=criterion,
                        granularity=given.granularity,
                        rounds=given.rounds,
                        reconstruct=refitted,
                    )
                    row = f"| {name} | {criterion} | {keep:g} | {'yes' if refitted else 'no'} |"
                    try:
                        pruned, macs, seconds = _pruned(step, model, data)
                    except EdgekitError as error:
                        print(row, error, "|", flush=True)
                        continue
                    found = _top1(pruned, judged_by)
                    print(
                        row,
                        f"{macs:.3f} | {dense:.2f} | {found:.2f} | {dense - found:.2f} |"
                        f" {seconds:.0f} |",
                        flush=True,
                    )
                    if given.out and refitted:
                        graph.save(pruned, given.out / f"{name}-{criterion}-{keep:g}.onnx")


def _pruned(step: passes.Prune, model: Model, data: Dataset) -> tuple[Model, float, float]:
    """Return the pruned model, the share of multiply-adds it keeps, and the seconds it took."""
    conditions = Conditions(device=None, threads=1, batch=1, shapes=None, progress=silent)
    with open_job(Path(model.name), model, targets.load("x86"), conditions, data=data) as job:
        context = context_of(job, data)
        simplified, _record = apply(passes.Simplify(), model, context)
        result, record = apply(step, simplified, context)
    return result, record.facts["multiply-adds kept"], record.seconds


def _top1(model: Model, data: Dataset) -> float:
    with tempfile.TemporaryDirectory() as folder, LocalDevice() as device:
        file = Path(folder) / "model.onnx"
        graph.save(model, file)
        outputs = bench.evaluate(device, file, data, target=targets.load("x86"))
    answers = outputs[0].argmax(axis=-1)
    labels = data.labels()
    if labels is None:
        raise SystemExit("the samples to judge by need labels")
    return 100 * float((answers == labels).mean())


if __name__ == "__main__":
    main()
