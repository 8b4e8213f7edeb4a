"""What the scripts here ask of a model's answers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.dataset import Dataset
from edgekit.devices import LocalDevice
from edgekit.graph import Model


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
