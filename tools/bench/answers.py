"""The jobs of a JOBS.toml, opened, and how well models answer what they are judged by."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.dataset import Dataset, open_data
from edgekit.devices import LocalDevice
from edgekit.graph import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job, opened.

    Attributes:
        data: calibration samples.
        judged_by: samples that answers are judged by.
        scorer: how.
    """

    name: str
    model: Model
    data: Dataset
    judged_by: Dataset
    scorer: bench.Scorer

    def score(self, model: Model) -> float:
        """Return the mean of the metric on this machine, percent where higher is better."""
        with tempfile.TemporaryDirectory() as folder, LocalDevice() as device:
            file = Path(folder) / "model.onnx"
            graph.save(model, file)
            outputs = bench.evaluate(device, file, self.judged_by, target=targets.load("x86"))
        found = bench.accuracy(
            outputs, outputs, self.judged_by.labels(), self.scorer, metadata=self.model.metadata
        )
        if not found.labelled:
            raise SystemExit(f"{self.judged_by.source}: the samples to judge by need labels")
        return (100 if found.better == "higher" else 1) * float(np.mean(found.values))

    def lost(self, dense: float, found: float) -> float:
        """Return by how much `found` is worse than `dense`."""
        return dense - found if self.scorer.better == "higher" else found - dense


def opened(jobs: Path, only: Sequence[str]) -> Iterator[Task]:
    """Yield the jobs one by one; all if `only` is empty.

    Args:
        jobs: as of optimize.py; a metric's module is looked for beside it.
        only: names.
    """
    sys.path.insert(0, str(jobs.parent.resolve()))
    for name, job in tomllib.loads(jobs.read_text(encoding="utf-8")).items():
        if not only or name in only:
            model = graph.load(jobs.parent / job["model"])
            data, judged_by = (open_data(jobs.parent / job[one], model) for one in ("data", "eval"))
            scorer = scorer_of(job)
            yield Task(name=name, model=model, data=data, judged_by=judged_by, scorer=scorer)


def scorer_of(job: Mapping[str, Any]) -> bench.Scorer:
    """Return how a job's answers are judged."""
    return bench.scorer(job.get("metric", "top1"), job.get("metric_better", "higher"))
