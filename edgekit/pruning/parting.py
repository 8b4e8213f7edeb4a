"""Finds the parts of a fused projection, and how they lie in its columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.graph.surgery import constant_of
from edgekit.pruning.projections import Projection
from edgekit.pruning.tracing import Numbers, Shapes, arrivals, moved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A value that holds some columns of a projection, every position of them.

    Attributes:
        columns: in ascending order.
        lengths: of the axes that the columns are parted into.
        perm: brings [positions.., *lengths] into the value's order of axes.
    """

    value: ir.Value
    columns: Numbers
    lengths: tuple[int, ...]
    perm: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Where a projection's columns are still together: behind it, or behind a first Reshape.

    Attributes:
        whole: the value's shape with the columns on one last axis.
        positions: what the target of a Reshape of the projection says of the axes before that.
    """

    value: ir.Value
    whole: tuple[int, ...]
    positions: list[int]


class Fused(Exception):  # noqa: N818  # an answer, not an error
    """Why a projection stays as it is."""


def start_of(projection: Projection, shapes: Shapes) -> Start | None:
    """Return where to start; None when the shape is not known or the columns end at an output."""
    value, uses = projection.output, tuple(projection.output.uses())
    shape = shapes.get(value.name or "")
    if shape is None or value.is_graph_output():
        return None
    plain = Start(value=value, whole=shape, positions=[0] * (len(shape) - 1))
    reshape = uses[0].node if len(uses) == 1 and uses[0].idx == 0 else None
    if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[1] is None:
        return plain
    target = constant_of(reshape.inputs[1])
    after = shapes.get(reshape.outputs[0].name or "")
    if target is None or after is None or reshape.outputs[0].is_graph_output():
        return plain
    for count in range(1, len(after)):
        if math.prod(after[-count:]) == shape[-1]:
            return Start(
                value=reshape.outputs[0],
                whole=(*after[:-count], shape[-1]),
                positions=[int(length) for length in target[:-count]],
            )
    return plain


def parts_of(projection: Projection, start: Start, shapes: Shapes) -> list[Part]:
    """Return the parts of a projection; none when it is not fused, or its parts are apart anyway.

    Raises:
        Fused: it is fused in a form that is not known.
    """
    shape = shapes[start.value.name or ""]
    columns = start.whole[-1]
    elements = np.arange(math.prod(shape)).reshape(shape)
    found = _selected(start.value, elements, shapes, columns=columns, whole=elements.size)
    if found is None or len(found) < 2:  # noqa: PLR2004  # one part is all
        return []
    apart = shape[-1] == columns and _direct(start.value, found)
    if apart and not any(_is_multiplied(*one, shapes) for one in found):
        return []
    if len(projection.weight.uses()) > 1:
        raise Fused("its weight is used elsewhere, too")
    seen = np.concatenate([np.unique(numbers % columns) for _, numbers in found])
    if len(np.unique(seen)) != len(seen) or len(seen) != columns:
        raise Fused("its parts overlap or leave columns out")
    return [_part(value, numbers, start.whole) for value, numbers in found]


def _selected(
    value: ir.Value, elements: Numbers, shapes: Shapes, *, columns: int, whole: int
) -> list[tuple[ir.Value, Numbers]] | None:
    """Return the first values that hold some columns only; None when the whole is used as such."""
    if elements.size < whole and len(np.unique(elements % columns)) < columns:
        return [_squeezed(value, elements, shapes)]
    if value.is_graph_output():
        return None
    found = []
    for user, index in value.uses():
        results = moved(user, index, elements, shapes)
        if results is None or user.op_type in {"Mul", "Div"}:
            return None
        for output, numbers in zip(user.outputs, results, strict=True):
            inner = _selected(output, numbers, shapes, columns=columns, whole=whole)
            if inner is None:
                return None
            found.extend(inner)
    return found


def _squeezed(value: ir.Value, elements: Numbers, shapes: Shapes) -> tuple[ir.Value, Numbers]:
    """Return what a Squeeze makes of `value` when nothing else uses it, else `value`."""
    uses = tuple(value.uses())
    if len(uses) != 1 or uses[0].node.op_type != "Squeeze" or value.is_graph_output():
        return value, elements
    results = moved(uses[0].node, 0, elements, shapes)
    return (value, elements) if results is None else (uses[0].node.outputs[0], results[0])


def _direct(start: ir.Value, found: Sequence[tuple[ir.Value, Numbers]]) -> bool:
    """Are the parts taken from the last axis of all columns, so that none shares an axis?"""
    return all(
        (node := value.producer()) is not None and node.inputs[0] is start for value, _ in found
    )


def _is_multiplied(value: ir.Value, elements: Numbers, shapes: Shapes) -> bool:
    """Is a part multiplied with another activation, as attention does?"""
    return any(
        arrival.user is not None
        and arrival.user.op_type == "MatMul"
        and all(one is not None and constant_of(one) is None for one in arrival.user.inputs)
        for arrival in arrivals(value, elements, shapes)
    )


def _part(value: ir.Value, elements: Numbers, whole: tuple[int, ...]) -> Part:
    """Return how a value's elements lie in the columns they come from.

    Raises:
        Fused: no Reshape of the last axis and Transpose give the value.
    """
    columns = np.unique(elements % whole[-1])
    width = len(columns)
    places = elements // whole[-1] * width + np.searchsorted(columns, elements % whole[-1])
    axes = _order(places, whole[:-1])
    lengths = [places.shape[axis] for axis in axes]
    positions = len(whole) - 1
    same = math.prod(lengths) == places.size and tuple(lengths[:positions]) == whole[:-1]
    perm = tuple(int(axis) for axis in np.argsort(axes))
    ordered = np.arange(math.prod(lengths)).reshape(lengths)
    if not same or not np.array_equal(ordered.transpose(perm), places):
        raise Fused("its positions are moved in an unknown way before its columns are parted")
    return Part(value=value, columns=columns, lengths=tuple(lengths[positions:]), perm=perm)


def _order(places: Numbers, positions: tuple[int, ...]) -> list[int]:
    """Return the axes from the slowest to the fastest; axes of length 1 where `positions` has."""
    long = [axis for axis, length in enumerate(places.shape) if length > 1]
    steps = {axis: int(np.take(places, 1, axis).flat[0]) for axis in long}
    long.sort(key=lambda axis: -steps[axis])
    short = [axis for axis in range(places.ndim) if axis not in steps]
    order = [queue.pop(0) for length in positions if (queue := short if length == 1 else long)]
    return [*order, *short, *long]
