"""`edgekit.inspect`: what a model is made of and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit import graph
from edgekit.graph import Costs, TensorSpec
from edgekit.job import shapes_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model seen from outside.

    Attributes:
        shapes: the input shapes that the costs are for.
        costs: parameters, multiply-adds, bytes and peak activation memory, in all and per node.
    """

    schema_version: int = 1
    name: str
    sha256: str
    size_bytes: int
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    costs: Costs


def inspect(
    model: str | Path, *, batch: int = 1, shapes: dict[str, tuple[int, ...]] | None = None
) -> Inspection:
    """Return what `model` is made of and what one inference costs.

    Args:
        model: path of an ONNX file.
        batch: samples per inference, where the batch axis is dynamic.
        shapes: shapes of inputs with other dynamic axes.

    Raises:
        EdgekitError: the file is no usable model, or a dynamic axis has no size.

    Example:
        >>> import edgekit
        >>> found = edgekit.inspect(edgekit.demo_files().model)
        >>> found.inputs[0].shape[1:]
        (1, 28, 28)
    """
    file = Path(model)
    loaded = graph.load(file)
    concrete = shapes_for(loaded, shapes or {}, batch, None)
    return Inspection(
        name=file.name,
        sha256=graph.file_sha256(file),
        size_bytes=graph.file_size(file),
        opset=loaded.opset,
        inputs=loaded.inputs,
        outputs=loaded.outputs,
        metadata=loaded.metadata,
        shapes=concrete,
        costs=graph.costs(loaded, concrete),
    )
