"""`edgekit.inspect` and `edgekit.channel_groups`: what a model costs, and what it could shed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.graph import Costs, Model, TensorSpec
from edgekit.job import shapes_for
from edgekit.placement import local_target
from edgekit.pruning.analysis import couple
from edgekit.pruning.blocks import blocks
from edgekit.pruning.listing import ChannelGroups, listed
from edgekit.pruning.preparing import prepared
from edgekit.pruning.unfusing import unfused


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model seen from outside.

    Attributes:
        shapes: the input shapes that the costs are for.
        costs: parameters, multiply-adds, bytes and peak activation memory, in all and per node.
        groups: its channel groups, where they were asked for.
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
    groups: ChannelGroups | None = None


def inspect(
    model: str | Path,
    *,
    groups: bool = False,
    target: str | None = None,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Inspection:
    """Return what `model` is made of and what one inference costs.

    Args:
        model: path of an ONNX file.
        groups: find the channel groups, too; see `channel_groups`.
        target: whose kernels say how counts of channels are rounded; this machine's by default.
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
        groups=_listed(loaded, concrete, target) if groups else None,
    )


def channel_groups(
    model: str | Path,
    *,
    target: str | None = None,
    batch: int = 1,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> ChannelGroups:
    """Return which channels of `model` go together, what they would save, and what must stay.

    The model is simplified and its fused projections are parted first, as `edgekit.prune` does.

    Args:
        model: path of an ONNX file.
        target: whose kernels say how counts are rounded; this machine's by default.
        batch: samples per inference, where the batch axis is dynamic.
        shapes: shapes of inputs with other dynamic axes.

    Raises:
        EdgekitError: the file is no usable model, or a dynamic axis has no size.

    Example:
        >>> import edgekit
        >>> found = edgekit.channel_groups(edgekit.demo_files().model)
        >>> any(group.pinned_by is None for group in found.groups)
        True
    """
    loaded = graph.load(Path(model))
    return _listed(loaded, shapes_for(loaded, shapes or {}, batch, None), target)


def _listed(model: Model, shapes: dict[str, tuple[int, ...]], target: str | None) -> ChannelGroups:
    of = local_target() if target is None else targets.load(target)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as workspace:
        context = passes.Context(
            target=of,
            data=None,
            latencies_of=lambda _models, _effort: None,
            workspace=Path(workspace),
            shapes=shapes,
        )
        simplified = passes.Simplify().apply(model, context).model
    ready, _parted, _refused = unfused(prepared(simplified), shapes)
    found, _others = blocks(ready, shapes)
    return listed(couple(ready, shapes), of.channel_multiple, found)
