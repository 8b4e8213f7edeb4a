"""Where two devices begin to disagree: the first tensor in graph order whose values differ."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.bench.evaluating import evaluate
from edgekit.dataset import ArraySpec, Dataset, Labels, Sample
from edgekit.devices import Device
from edgekit.graph import Model, infer_shapes, save
from edgekit.graph.surgery import constant_of
from edgekit.target import Target

TOLERANCE = 1e-2
"""Of a tensor's largest magnitude: a little more than a step of an 8-bit grid."""
SAMPLES = 4

_TOGETHER = 16
_NUMBERS = frozenset(("FLOAT", "FLOAT16", "DOUBLE", "INT8", "UINT8", "INT32", "INT64", "BOOL"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first tensor that differs.

    Attributes:
        tensor: its name.
        node: name of the node that makes it, with its operator in `op_type`.
        difference: largest |a - b| over largest |a|, over all samples; infinite when shapes or
            types differ, or one side is not finite.
    """

    tensor: str
    node: str
    op_type: str
    difference: float


@dataclass(frozen=True, slots=True)
class _First:
    """The first samples of a dataset."""

    base: Dataset
    most: int

    @property
    def source(self) -> str:
        return self.base.source

    def __len__(self) -> int:
        return min(self.most, len(self.base))

    def specs(self) -> dict[str, ArraySpec]:
        return self.base.specs()

    def samples(self) -> Iterator[Sample]:
        return islice(self.base.samples(), self.most)

    def labels(self) -> Labels | None:
        return None


def output_difference(
    host: Device, device: Device, file: Path, data: Dataset, *, target: Target
) -> float:
    """Return the largest difference of any output between two devices, over the first samples.

    Relative to the output's largest magnitude on `host`; infinite where shapes or types differ.

    Raises:
        EdgekitError: the model does not run on one of them, or a device failed.
    """
    few = _First(data, SAMPLES)
    wanted, found = (evaluate(one, file, few, target=target) for one in (host, device))
    return max(_difference(a, b) for a, b in zip(wanted, found, strict=True))


def first_difference(
    host: Device,
    device: Device,
    model: Model,
    data: Dataset,
    *,
    target: Target,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Divergence | None:
    """Return the first tensor, in graph order, that `device` computes unlike `host`.

    Both run the model with inner tensors as outputs, a few at a time from its start, until one
    differs. What a runtime fuses it may compute apart for that: a difference that only fusion
    makes is not found.

    Args:
        host: whose values count.
        device: what is compared with it.
        model: an ONNX graph; subgraphs are not looked into.
        data: the first `SAMPLES` samples are used.
        target: names the runtime of both.
        tolerance: relative to the tensor's largest magnitude.
        progress: called with (tensors compared, in all).

    Raises:
        EdgekitError: the model does not run on one of them, or a device failed.
    """
    shaped = infer_shapes(model)
    makers = _makers(shaped.ir.graph)
    few = _First(data, SAMPLES)
    for at in range(0, len(makers), _TOGETHER):
        part = dict(list(makers.items())[at : at + _TOGETHER])
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            file = Path(folder) / "model.onnx"
            save(_exposing(shaped, list(part)), file)
            wanted, found = (evaluate(one, file, few, target=target) for one in (host, device))
            for (name, node), a, b in zip(part.items(), wanted, found, strict=True):
                difference = _difference(a, b)
                if not difference <= tolerance:
                    return Divergence(
                        tensor=name,
                        node=node.name or "",
                        op_type=node.op_type,
                        difference=difference,
                    )
        progress(min(at + _TOGETHER, len(makers)), len(makers))
    return None


def _makers(graph: ir.Graph) -> dict[str, ir.Node]:
    """Return the tensors of numbers in graph order, each with the node that makes it."""
    return {
        value.name: node
        for node in graph
        for value in node.outputs
        if value.name
        and (value.dtype is None or value.dtype.name in _NUMBERS)
        and constant_of(value) is None
    }


def _exposing(model: Model, names: list[str]) -> Model:
    edited = model.editable()
    values = {value.name: value for node in edited.graph for value in node.outputs}
    edited.graph.outputs[:] = [values[name] for name in names]
    return Model(ir=edited, name=model.name)


def _difference(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return float("inf")
    a, b = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    largest = float(np.abs(a).max(initial=0.0))
    apart = float(np.abs(a - b).max(initial=0.0))
    return apart / largest if largest else apart
