"""Turns the width of attention heads so that its last components matter least, exactly.

The scores q k' and the output projection of p v stay what they were (`bases` has the algebra); what
changes is which component of a head's width carries how much of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit import native
from edgekit.activations import Array, stream
from edgekit.candidate import Skip
from edgekit.dataset import Dataset, Sample, spread
from edgekit.graph import Model, file_size
from edgekit.graph.costs import concrete_shapes
from edgekit.graph.equality import largest_difference
from edgekit.layerwise.saving import saved
from edgekit.pruning.bases import context_basis, scores_basis
from edgekit.pruning.coupling import Coupling, Ids
from edgekit.pruning.heads import Context, Scores, Side, products_of
from edgekit.pruning.projections import Reals, set_weights, weights_of
from edgekit.pruning.tracing import Numbers, Shapes

SAMPLES = 256
TOLERANCE = 1e-4
"""Largest relative difference of the model's outputs that a rotation may cause."""
_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What was turned in one product, and how much each component of the width matters.

    Attributes:
        node: the MatMul of two activations.
        kind: of q and k, or of v and the output projection.
        places: (initializer, axis, positions of shape (heads, width)) of every weight that was
            turned; column d of the positions is component d in all heads, see `channels`.
        energy: shape (width,), not ascending: the mean square that leaving out component d in all
            heads adds to the scores, or to the output projection's result.
    """

    node: str
    kind: Literal["scores", "context"]
    places: tuple[tuple[str, int, Numbers], ...]
    energy: Reals

    def channels(self, coupling: Coupling) -> Ids | None:
        """Return the channel of each component, shape (width,); None where none can be removed.

        Args:
            coupling: of the turned model, its channels the width of heads.
        """
        weight, axis, positions = self.places[0]
        ids = coupling.on(weight, axis)
        return None if ids is None else ids[positions[0]]


@dataclass(slots=True, kw_only=True)
class Moments:
    """Second moments of some columns of some values; a reducer of `edgekit.activations.stream`.

    Attributes:
        columns: by a label, the value's name and its columns, shape (heads, width).
        centred: labels of those that are taken without their mean over a sample's positions.
        sums: by label, shape (heads, width, width), over all positions.
    """

    columns: dict[str, tuple[str, Numbers]]
    centred: frozenset[str] = frozenset()
    sums: dict[str, Reals] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)

    def begin(self, sample: Sample) -> None:
        """Samples are not told apart."""

    def add(self, name: str, values: Array) -> None:
        """Take one value of one sample: columns on its last axis."""
        for label, (value, columns) in self.columns.items():
            if value != name:
                continue
            rows = values.reshape(-1, values.shape[-1])[:, columns].astype(np.float64)
            if label in self.centred:
                rows = rows - rows.mean(axis=0)
            heads = rows.transpose(1, 0, 2)
            moment = heads.transpose(0, 2, 1) @ heads
            self.sums[label] = self.sums.get(label, 0.0) + moment
            self.positions[label] = self.positions.get(label, 0) + len(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """For one product, the matrices that its columns are multiplied with, head by head.

    Attributes:
        left: on the columns of q or v, shape (heads, width, width).
        right: on the columns of k, or the rows of the output projection.
    """

    rotation: Rotation
    left: Reals
    right: Reals


def rotated(
    model: Model,
    data: Dataset,
    workspace: Path,
    *,
    samples: int = SAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, tuple[Rotation, ...], tuple[Skip, ...]]:
    """Return the model with the width of its attention heads turned, most important first.

    Outputs stay the same up to `TOLERANCE`, which is tried on random inputs. Widths are left as
    they are: what is last can now be removed with the least loss.

    Args:
        model: its constants are initializers, and fused projections are parted (`unfused`),
            unless q, k and v shall keep one width.
        data: at most `samples` samples of it, evenly spread, go through the model.
        workspace: for a temporary file.
        samples: see `data`.
        progress: called with (samples done, in all).

    Raises:
        ModelError: the model does not run on the data.
    """
    shapes = _input_shapes(data)
    known = concrete_shapes(model, shapes)
    products, skipped = products_of(model.ir.graph, known)
    if not products:
        return model, (), skipped
    moments = _measured(model, products, data, workspace, samples=samples, progress=progress)
    turns = []
    refused = list(skipped)
    for product in products:
        try:
            turns.append(_turn(product, moments))
        except np.linalg.LinAlgError:
            reason = "its activations have no finite, positive second moments"
            refused.append(Skip(where=product.node.name or "", reason=reason))
    result, turned = _accepted(model, model, turns, known, shapes)
    kept = {turn.rotation.node for turn in turned}
    refused.extend(
        Skip(where=turn.rotation.node, reason=f"outputs would differ by more than {TOLERANCE:.0e}")
        for turn in turns
        if turn.rotation.node not in kept
    )
    return result, tuple(turn.rotation for turn in turned), tuple(refused)


def _input_shapes(data: Dataset) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a batch of the first sample."""
    sample = next(iter(data.samples()))
    return {name: (1, *array.shape) for name, array in sample.items()}


def _measured(
    model: Model,
    products: Sequence[Scores | Context],
    data: Dataset,
    workspace: Path,
    *,
    samples: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Reals]:
    """Return the mean second moments of each head's queries (q), keys (k) and context (c)."""
    columns: dict[str, tuple[str, Numbers]] = {}
    centred = set()
    for product in products:
        name = product.node.name or ""
        if isinstance(product, Context):
            columns[f"{name} c"] = (product.output.data.name or "", product.rows)
            continue
        for label, side in (("q", product.query), ("k", product.key)):
            columns[f"{name} {label}"] = (side.projection.output.name or "", side.columns)
        if product.softmax:
            centred.add(f"{name} k")
    with saved(workspace, attention=model) as (file,):
        seen: Moments = native.call(
            "measuring attention",
            stream,
            file,
            spread(data, samples),
            tuple(dict.fromkeys(value for value, _ in columns.values())),
            Moments(columns=columns, centred=frozenset(centred)),
            timeout_s=_TIMEOUT_S,
            memory_bytes=(2 << 30) + 3 * file_size(file),
            progress=progress,
        )
    return {label: total / seen.positions[label] for label, total in seen.sums.items()}


def _accepted(
    original: Model,
    model: Model,
    turns: Sequence[_Turn],
    shapes: Shapes,
    inputs: dict[str, tuple[int, ...]],
) -> tuple[Model, list[_Turn]]:
    """Return the model with those turns that leave its outputs alone, found by halving."""
    if not turns:
        return model, []
    candidate = _turned(model, turns, shapes)
    if largest_difference(original, candidate, inputs) <= TOLERANCE:
        return candidate, list(turns)
    if len(turns) == 1:
        return model, []
    half = len(turns) // 2
    first, early = _accepted(original, model, turns[:half], shapes, inputs)
    second, late = _accepted(original, first, turns[half:], shapes, inputs)
    return second, early + late


def _turned(model: Model, turns: Sequence[_Turn], shapes: Shapes) -> Model:
    graph = model.editable()
    products = {product.node.name: product for product in products_of(graph.graph, shapes)[0]}
    for turn in turns:
        product = products[turn.rotation.node]
        if isinstance(product, Scores):
            _turn_columns(graph.graph, product.query, turn.left)
            _turn_columns(graph.graph, product.key, turn.right)
        else:
            _turn_columns(graph.graph, product.value, turn.left)
            weight, bias = weights_of(product.output)
            weight = weight.copy()
            weight[product.rows] = turn.right @ weight[product.rows]
            set_weights(graph.graph, product.output, weight, bias)
    return Model(ir=graph, name=model.name)


def _turn_columns(graph: ir.Graph, side: Side, turn: Reals) -> None:
    weight, bias = (None if a is None else a.copy() for a in weights_of(side.projection))
    if weight is None:
        raise AssertionError
    weight[:, side.columns] = np.einsum("hed,xhd->xhe", turn, weight[:, side.columns])
    if bias is not None:
        bias[side.columns] = np.einsum("hed,hd->he", turn, bias[side.columns])
    set_weights(graph, side.projection, weight, bias)


def _turn(product: Scores | Context, moments: dict[str, Reals]) -> _Turn:
    name = product.node.name or ""
    if isinstance(product, Scores):
        pairs = zip(moments[f"{name} q"], moments[f"{name} k"], strict=True)
        parts = [scores_basis(*pair) for pair in pairs]
        places = (_place(product.query), _place(product.key))
    else:
        weight = weights_of(product.output)[0][product.rows]
        pairs = zip(moments[f"{name} c"], weight, strict=True)
        parts = [context_basis(*pair) for pair in pairs]
        output = product.output
        rows = (output.weight.name or "", 1 - output.axis, product.rows)
        places = (_place(product.value), rows)
    left, right, singular = (np.stack(part) for part in zip(*parts, strict=True))
    return _Turn(
        rotation=Rotation(
            node=name,
            kind="scores" if isinstance(product, Scores) else "context",
            places=places,
            energy=(singular**2).sum(axis=0),
        ),
        left=left,
        right=right,
    )


def _place(side: Side) -> tuple[str, int, Numbers]:
    return side.projection.weight.name or "", side.projection.axis, side.columns
