"""Prune models of your own by every criterion, with and without refitting, and print a table.

    python tools/bench/criteria.py JOBS.toml [--keep 0.7 0.5 0.3] [--criteria obs l2] [--only NAME]

JOBS.toml is that of optimize.py. Channels go in one shot, each group's share by the loss table of
that criterion, so that the rows differ in nothing but which channels of a group go. The metric is
the job's, top-1 in percent if it names none; `change` is that of held-out outputs relative to their
variance.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from answers import opened

from edgekit import passes
from edgekit import target as targets
from edgekit.dataset import Dataset
from edgekit.errors import EdgekitError
from edgekit.graph import Model
from edgekit.job import shapes_for
from edgekit.pruning import allocation
from edgekit.pruning.analysis import couple
from edgekit.pruning.budget import macs_cost
from edgekit.pruning.criteria import CRITERIA, Criterion
from edgekit.pruning.effects import effect
from edgekit.pruning.latencies import liked
from edgekit.pruning.merging import merged
from edgekit.pruning.preparing import prepared
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.surgery import removed
from edgekit.pruning.survey import parted, surveyed
from edgekit.pruning.unfusing import unfused

TARGET = targets.load("x86")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A pruned model.

    Attributes:
        macs: share of the multiply-adds that it keeps.
        change: of held-out outputs.
    """

    model: Model
    keep: float
    refitted: bool
    macs: float
    change: float


def main() -> None:
    """Prune every model in every way that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.7, 0.5, 0.3])
    parser.add_argument("--criteria", nargs="+", default=[one.name for one in CRITERIA])
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    print("| model | criterion | keep | refitted | MACs kept | change | metric | lost |")
    print("|-|-|-|-|-|-|-|-|")
    for task in opened(given.jobs, given.only):
        dense = task.score(task.model)
        for kind in CRITERIA:
            if kind.name not in given.criteria:
                continue
            try:
                for form in forms(task.model, kind(), given.keep, task.data):
                    found = task.score(form.model)
                    print(
                        f"| {task.name} | {kind.name} | {form.keep:g} |"
                        f" {'yes' if form.refitted else 'no'} | {form.macs:.3f} |"
                        f" {form.change:.4f} | {found:.4g} | {task.lost(dense, found):.3g} |",
                        flush=True,
                    )
            except EdgekitError as error:
                print(f"| {task.name} | {kind.name} |", error, "|", flush=True)


def forms(model: Model, criterion: Criterion, keeps: list[float], data: Dataset) -> Iterator[Form]:
    """Yield for each share the pruned model as sliced, and refitted."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        context = passes.Context(
            target=TARGET,
            data=data,
            latencies_of=lambda _models, _effort: None,
            workspace=workspace,
            shapes=shapes_for(model, {}, 1, data),
        )
        simplified = (
            passes.Simplify(keep_norms=criterion.name == "batchnorm").apply(model, context).model
        )
        dense, _, _ = unfused(prepared(simplified), context.shapes)
        coupling = couple(dense, context.shapes)
        groups = coupling.free
        options = liked(coupling, groups, TARGET.channel_multiple)
        survey = surveyed(coupling, groups, options, criterion, data=data, workspace=workspace)
        cost = macs_cost(coupling, groups)
        for share in keeps:
            counts = allocation.by_loss(survey.table, options, cost, share * cost.dense)
            keep = allocation.flags(coupling, groups, survey.scores, counts)
            source = coupling
            if criterion.merges:
                source = replace(coupling, model=merged(coupling, groups, keep))
            sliced = removed(source, keep)
            kept = partial(coupling.kept, keep=keep)
            refitted, _ = reconstructed(dense, sliced, kept, data, workspace)
            for one in (sliced, refitted):
                yield Form(
                    model=one,
                    keep=share,
                    refitted=one is refitted,
                    macs=cost.total(counts) / cost.dense,
                    change=effect(dense, one, parted(data)[1], workspace).loss,
                )


if __name__ == "__main__":
    main()
