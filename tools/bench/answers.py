"""The jobs of a JOBS.toml, opened, and how many answers of a model are right."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.dataset import Dataset, open_data
from edgekit.devices import LocalDevice
from edgekit.graph import Model


def opened(jobs: Path, only: Sequence[str]) -> Iterator[tuple[str, Model, Dataset, Dataset]]:
    """Yield name, model, calibration samples and samples to judge by; all jobs if `only` is empty.

    Args:
        jobs: as of optimize.py.
        only: names.
    """
    for name, job in tomllib.loads(jobs.read_text(encoding="utf-8")).items():
        if not only or name in only:
            model = graph.load(jobs.parent / job["model"])
            data, judged_by = (open_data(jobs.parent / job[one], model) for one in ("data", "eval"))
            yield name, model, data, judged_by


def top1(model: Model, data: Dataset) -> float:
    """Return the share of labelled samples that a model answers right on this machine, percent."""
    labels = data.labels()
    if labels is None:
        raise SystemExit("the samples to judge by need labels")
    with tempfile.TemporaryDirectory() as folder, LocalDevice() as device:
        file = Path(folder) / "model.onnx"
        graph.save(model, file)
        outputs = bench.evaluate(device, file, data, target=targets.load("x86"))
    return 100 * float((outputs[0].argmax(axis=-1) == labels).mean())
