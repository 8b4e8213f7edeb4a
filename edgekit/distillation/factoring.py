"""One layer becomes two cheaper ones, as near to it as their form allows.

A dense convolution becomes a depthwise and a pointwise one; or a convolution or a matrix becomes
two with fewer channels between them (Denton et al. 2014; Zhang et al. 2016, without their data).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.distillation.packing import Array
from edgekit.distillation.rewiring import clear, node, take_place, weight
from edgekit.distillation.stretches import Stretch, within
from edgekit.errors import ModelError, UsageError
from edgekit.graph import Model, costs

_PLANE = 4
_MATRIX = 2
_RANKS = 8
"""Ranks are multiples of it: kernels work in blocks."""
_BISECTIONS = 60


def separable(model: Model, stretch: Stretch) -> tuple[Model, int]:
    """Replace dense convolutions in a stretch by a depthwise and a pointwise one.

    Each input channel's kernels, one an output, become the one kernel and the factors that are
    nearest to them by squared error: of a matrix (outputs, positions), its first singular vectors.

    Returns:
        the model, and how many convolutions were replaced.

    Raises:
        ModelError: there is none to replace.
    """
    edited = Model(ir=model.editable(), name=model.name)
    count = 0
    for one in within(edited, stretch):
        kernels = _dense(one)
        if kernels is not None and kernels.shape[1] > 1 and math.prod(kernels.shape[2:]) > 1:
            _separate(edited.ir.graph, one, kernels)
            count += 1
    if not count:
        raise ModelError(
            "has no dense convolution to replace",
            where=f"stretch to {', '.join(stretch.outputs)}",
            remedy="name a student of your own with --student",
        )
    return edited, count


def low_rank(
    model: Model, keep_macs: float, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Model, int]:
    """Replace convolutions over a plane and matrices by two with fewer channels between them.

    What each layer keeps is chosen for all of them at once: of all ranks that keep to the budget
    those whose lost shares of the weights' squares have the least sum.

    Args:
        model: unchanged.
        keep_macs: share of its multiply-adds that stays.
        shapes: of every input that has a dynamic axis.

    Returns:
        the model, and how many layers were replaced.

    Raises:
        UsageError: the budget cannot be reached.
    """
    edited = Model(ir=model.editable(), name=model.name)
    before = costs(model, dict(shapes))
    spent = {one.name: one.macs for one in before.nodes}
    layers = [
        _Layer(node=one, matrix=matrix, macs=spent.get(one.name or "", 0))
        for one in edited.ir.graph
        if (matrix := _matrix(one)) is not None
    ]
    rest = before.macs - sum(layer.macs for layer in layers)
    options = [layer.options() for layer in layers]
    chosen = _within(options, keep_macs * before.macs - rest)
    if chosen is None:
        least = rest + sum(min(one.macs for one in given) for given in options)
        raise UsageError(
            "low ranks cannot make so few multiply-adds",
            where="--keep-macs",
            found=f"{keep_macs:g}",
            expected=f"at least {math.ceil(100 * least / max(before.macs, 1)) / 100:g}",
        )
    count = 0
    for layer, option in zip(layers, chosen, strict=True):
        if option.rank:
            _factor(edited.ir.graph, layer.node, layer.matrix, option.rank)
            count += 1
    return edited, count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """What a layer may become; rank 0: it stays."""

    rank: int
    lost: float
    macs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer, and its weight as (outputs, all that one output reads)."""

    node: ir.Node
    matrix: Array
    macs: int

    def options(self) -> list[_Option]:
        outputs, inputs = self.matrix.shape
        energy = np.linalg.svd(self.matrix, compute_uv=False) ** 2
        left = 1 - np.cumsum(energy) / max(energy.sum(), 1e-30)
        each = self.macs / (outputs * inputs) * (outputs + inputs)
        found = [_Option(rank=0, lost=0.0, macs=self.macs)]
        found.extend(
            _Option(rank=rank, lost=float(left[rank - 1]), macs=rank * each)
            for rank in range(_RANKS, len(energy), _RANKS)
            if rank * each < self.macs
        )
        return found


def _within(options: Sequence[Sequence[_Option]], budget: float) -> list[_Option] | None:
    """Return an option a layer: least loss at the least price a multiply-add that keeps to it."""
    total = sum(given[0].macs for given in options)
    low, high, best = 0.0, 1.0, None
    for _ in range(_BISECTIONS):
        price = high if best is None else (low + high) / 2
        found = [
            min(given, key=lambda one: one.lost + price * one.macs / max(total, 1))
            for given in options
        ]
        if sum(one.macs for one in found) <= budget:
            best, high = found, price
        else:
            low, high = price, high if best is not None else 4 * high
    return best


def _matrix(one: ir.Node) -> Array | None:
    """Return the weight of a layer as (outputs, inputs); None of what has no such weight."""
    if one.op_type == "Conv":
        kernels = _dense(one)
        return None if kernels is None else kernels.reshape(len(kernels), -1).astype(np.float64)
    if one.domain or one.op_type not in {"MatMul", "Gemm"}:
        return None
    value = _own_weight(one)
    plain = all(one.attributes.get_float(name, 1.0) == 1 for name in ("alpha", "beta"))
    if (
        value is None
        or value.ndim != _MATRIX
        or one.attributes.get_int("transA", 0) != 0
        or not plain
    ):
        return None
    turned = one.attributes.get_int("transB", 0) != 0
    return (value if turned else value.T).astype(np.float64)


def _dense(one: ir.Node) -> Array | None:
    """Return the weight of a convolution over a plane that is not grouped."""
    if one.op_type != "Conv" or one.domain or one.attributes.get_int("group", 1) != 1:
        return None
    value = _own_weight(one)
    return value if value is not None and value.ndim == _PLANE else None


def _own_weight(one: ir.Node) -> Array | None:
    value = one.inputs[1]
    if value is None or value.const_value is None or len(list(value.uses())) != 1:
        return None
    array = value.const_value.numpy()
    return array if array.dtype == np.float32 else None


def _separate(graph: ir.Graph, one: ir.Node, kernels: Array) -> None:
    outputs, inputs, *kernel = kernels.shape
    matrices = kernels.transpose(1, 0, 2, 3).reshape(inputs, outputs, -1).astype(np.float64)
    left, sizes, right = np.linalg.svd(matrices, full_matrices=False)
    root = np.sqrt(sizes[:, :1])
    depthwise = (right[:, 0] * root).reshape(inputs, 1, *kernel)
    pointwise = (left[:, :, 0] * root).T.reshape(outputs, inputs, 1, 1)
    attributes = [attribute for key, attribute in one.attributes.items() if key != "group"]
    attributes.append(ir.AttrInt64("group", inputs))
    name = one.name or one.op_type
    first = f"{name}/depthwise"
    spread = node("Conv", first, [one.inputs[0], weight(graph, first, depthwise)], attributes)
    _end(graph, one, spread, f"{name}/pointwise", pointwise)


def _factor(graph: ir.Graph, one: ir.Node, matrix: Array, rank: int) -> None:
    """Replace a layer by two, the products of its first singular vectors."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(sizes[:rank])
    into, out = right[:rank] * root[:, None], left[:, :rank] * root
    name = one.name or one.op_type
    first, last = f"{name}/into", f"{name}/out"
    value = one.inputs[1]
    if one.op_type == "Conv" and value is not None and value.const_value is not None:
        shape = value.const_value.shape.numpy()
        kernels = weight(graph, first, into.reshape(rank, *shape[1:]))
        begun = node("Conv", first, [one.inputs[0], kernels], list(one.attributes.values()))
        _end(graph, one, begun, last, out.reshape(*out.shape, 1, 1))
    else:
        begun = node("MatMul", first, [one.inputs[0], weight(graph, first, into.T)], [])
        _end(graph, one, begun, last, out.T)


def _end(graph: ir.Graph, one: ir.Node, begun: ir.Node, name: str, array: Array) -> None:
    """Put in a layer that has begun, and its end, which adds the bias and has the old output."""
    inputs = [begun.outputs[0], weight(graph, name, array), *one.inputs[2:]]
    ended = node(one.op_type, name, inputs, [])
    graph.insert_before(one, [begun, ended])
    take_place(ended.outputs[0], one.outputs[0])
    clear(graph, [one])
