"""Give a pruned network back what it lost: each layer is fitted anew to what the dense one makes.

Layers are fitted in the order of the data, each on what the layers before it, already fitted, make
of unlabelled samples; so every layer also makes up for what is left of the errors before it.

Source: He et al. 2017 (Channel Pruning for Accelerating Very Deep Neural Networks), section 3.2,
and its residual blocks in 3.3; here by ridge regression toward the weights that were there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.graph import Model, file_size
from edgekit.layerwise.columns import read_at, reads, some_positions, written_at
from edgekit.layerwise.layers import Layer, layers_of
from edgekit.layerwise.saving import saved
from edgekit.layerwise.stepwise import Part, Stepwise, side_by_side
from edgekit.pruning.activated import Rows, through_activation
from edgekit.pruning.cells import Cell, cell_of, is_recurrent
from edgekit.pruning.fitting import LayerFit, Moments, best_fit, left
from edgekit.pruning.gram import SAMPLES, rows_wanted, with_ones
from edgekit.pruning.normalization import Norm, norm_of, re_estimated
from edgekit.pruning.opening import close, opened
from edgekit.pruning.recurrent import fit_cell
from edgekit.pruning.targets import Fittable, Kept, Target, fitting_order

Array = npt.NDArray[Any]
_TIMEOUT_S = 3600.0
_ROW_BYTES = 512 << 20
_MORE_ROWS = 2
"""Weights that stay need more positions than a ranking does."""


def reconstructed(
    dense: Model,
    pruned: Model,
    kept: Kept,
    data: Dataset,
    workspace: Path,
    *,
    samples: int = SAMPLES,
    twins: Mapping[str, str] | None = None,
    twins_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, tuple[LayerFit, ...]]:
    """Return the pruned model with its layers fitted to what the dense one makes.

    A layer is left as it is unless the fit is better on held-out samples, every fifth.

    Args:
        dense: what was pruned; its nodes and values have the names of the pruned one's.
        pruned: unchanged.
        kept: by value of `pruned`, which positions of an axis are left of what it stands for, e.g.
            `functools.partial(coupling.kept, keep=keep)`.
        data: unlabelled; at most `samples` samples of it, evenly spread, are used.
        workspace: for temporary files, up to a few times the activations of all samples.
        samples: see `data`.
        twins: by value of `pruned`, the value of `dense` that it stands for where that is not the
            one of the same name.
        twins_only: fit no layers but those that reach for one of these.
        progress: called with (layers done, in all).

    Raises:
        ModelError: one of the models does not run on the data.
    """
    own = opened(pruned)
    layers, refused = _fittable(own.ir.graph)
    order = fitting_order(own.ir.graph, layers, kept, twins or {})
    if twins_only:
        others = set((twins or {}).values())
        order = [(layer, target) for layer, target in order if target.value in others]
    sums = max((_gram_size(layer) for layer in layers), default=0)
    with saved(workspace, dense=opened(dense), pruned=own) as files:
        weights, fits = native.call(
            "reconstructing",
            _reconstruct,
            files,
            order,
            data,
            samples,
            timeout_s=_TIMEOUT_S,
            memory_bytes=(3 << 30) + 3 * sum(map(file_size, files)) + 80 * sums,
            progress=progress,
        )
    for name, array in weights.items():
        own.ir.graph.initializers[name].const_value = ir.tensor(array, name=name)
    close(own.ir.graph)
    return own, (*fits, *refused)


def _fittable(graph: ir.Graph) -> tuple[list[Fittable], list[LayerFit]]:
    """Return what can be fitted, in graph order, and a report of what cannot."""
    affine = {layer.node: layer for layer in layers_of(graph)}
    found: list[Fittable] = []
    refused = []
    for node in graph:
        layer: Fittable | str | None = affine.get(node.name or "")
        if isinstance(layer, Layer) and len(graph.initializers[layer.weight].uses()) > 1:
            layer = "shares its weight with other nodes"
        elif layer is None:
            layer = cell_of(node) if is_recurrent(node) else norm_of(node)
        if isinstance(layer, str):
            refused.append(left(node.name or "", math.nan, layer))
        elif layer is not None:
            found.append(layer)
    return found, refused


def _reconstruct(
    files: tuple[Path, ...],
    order: Sequence[tuple[Fittable, Target]],
    data: Dataset,
    samples: int,
) -> tuple[dict[str, Array], list[LayerFit]]:
    dense, pruned = side_by_side(files, data, samples)
    weights: dict[str, Array] = {}
    fits = []
    for index, (layer, target) in enumerate(order):
        native.at(layer.node)
        if isinstance(layer, Cell):
            changed, fit = fit_cell(dense, pruned, layer, target.channels)
        elif isinstance(layer, Norm):
            changed, fit = re_estimated(dense, pruned, layer, target.channels)
        else:
            changed, fit = _fit(dense, pruned, layer, target)
        for name, array in changed.items():
            pruned.graph.initializers[name].const_value = ir.tensor(array, name=name)
        weights |= changed
        fits.append(fit)
        native.report(index + 1, len(order))
    return weights, fits


def _gram_size(layer: Fittable) -> int:
    return layer.groups * (layer.columns + 1) ** 2 if isinstance(layer, Layer) else 0


def _fit(
    dense: Stepwise, pruned: Stepwise, layer: Layer, target: Target
) -> tuple[dict[str, Array], LayerFit]:
    """Return the initializers to change, and what became of the layer."""
    target = _settled(dense, target)
    sizes = (layer.groups, layer.outputs // layer.groups, layer.columns + 1)
    fit, held_out = Moments.empty(*sizes), Moments.empty(*sizes)
    response = target.response if _row_bytes(layer) <= _ROW_BYTES else None
    rows: tuple[list[Rows], list[Rows]] = [], []
    for part, x, y, skip in _rows(dense, pruned, layer, target):
        (held_out if part.held_out else fit).add(x, y if skip is None else y - skip)
        if response is not None:
            rows[part.held_out].append(Rows(x=x, y=y, skip=skip, response=response))
    stored = _array(pruned.graph, layer.weight)
    bias = None if layer.bias is None else _array(pruned.graph, layer.bias)
    shift = np.zeros(layer.outputs) if bias is None else bias
    shape = (layer.groups, -1, layer.columns)
    prior = (
        layer.matrix(stored).reshape(shape).astype(np.float64),
        shift.reshape(layer.groups, -1).astype(np.float64),
    )
    found = best_fit(layer.node, fit, held_out, *prior, shiftable=bias is not None)
    if response is not None and found.strength is not None and bias is not None:
        joined = Rows.joined(rows[0]), Rows.joined(rows[1])
        found = through_activation(joined, (fit, held_out), prior, found)
    if not found.report.accepted:
        return {}, found.report
    weight, shift = found.affine
    changed = {layer.weight: layer.stored(weight.reshape(layer.outputs, -1), stored)}
    if bias is not None and layer.bias is not None:
        changed[layer.bias] = shift.reshape(bias.shape).astype(bias.dtype)
    return changed, found.report


def _rows(
    dense: Stepwise, pruned: Stepwise, layer: Layer, target: Target
) -> Iterator[tuple[Part, Array, Array, Array | None]]:
    """Yield by part what the layer reads, with ones, what is wanted, and what is added to it.

    Shapes: (groups, positions, columns + 1), (positions, outputs) and again; the last is None
    where nothing is added.
    """
    pruned.advance([layer.data, *([] if target.skip is None else [target.skip])])
    total = sum(part.size for part in pruned.parts)
    for part in pruned.parts:
        data = pruned.read(layer.data, part)
        count = math.ceil(_positions(layer) * part.size / total)
        at = some_positions(layer.node, part.number, reads(layer, data.shape), count)
        wanted = dense.read(target.value, part)
        made = written_at(layer, wanted, at)
        if target.channels is not None:
            made = made[:, target.channels]
        skip = None
        if target.skip is not None:
            shape = list(wanted.shape)
            shape[layer.axis] = layer.outputs
            added = np.broadcast_to(pruned.read(target.skip, part), shape)
            skip = written_at(layer, added, at).astype(np.float32)
        yield part, with_ones(read_at(layer, data, at)), made.astype(np.float32), skip


def _row_bytes(layer: Layer) -> int:
    """Return the memory that the rows of a layer take."""
    row = layer.groups * (layer.columns + 1) + 2 * layer.outputs
    return 4 * _positions(layer) * row


def _positions(layer: Layer) -> int:
    return _MORE_ROWS * rows_wanted(layer.columns)


def _settled(dense: Stepwise, target: Target) -> Target:
    """Make the target readable; where an addition repeats its addend, the addend is the target."""
    if target.addend is None:
        dense.advance([target.value])
        return target
    dense.advance([target.value, target.addend.value])
    total, alone = (
        dense.read(name, dense.parts[0]) for name in (target.value, target.addend.value)
    )
    return target if total.shape == alone.shape else target.addend


def _array(graph: ir.Graph, name: str) -> Array:
    tensor = graph.initializers[name].const_value
    if tensor is None:
        raise TypeError(name)
    return tensor.numpy()
