"""Follows the columns of a projection through data movement, by running it on numbers.

What happens to the columns on the way to where they are used (Reshape, Transpose, Split, Gather,
...) needs no rule per layout: the operators are run on an array of column numbers, and the numbers
are read back at the other end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph.surgery import constant_of
from edgekit.pruning.projections import Projection, projection_of

Shapes = Mapping[str, tuple[int, ...]]
"""Concrete shape of every value that has a known one, by name."""
Numbers = npt.NDArray[np.int64]

_LENGTHS = frozenset({"Shape", "Size"})
_SHAPED = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"})
_MOVING = _SHAPED | {"Split", "Transpose", "Gather", "Slice", "Identity", "Dropout"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """Where moved data is used by something else than data movement.

    Attributes:
        value: the moved data.
        user: who uses it; None for a graph output.
        index: as which of the user's inputs.
        numbers: what became of the numbers that were followed; the value's shape.
    """

    value: ir.Value
    user: ir.Node | None
    index: int
    numbers: Numbers


def projection_behind(value: ir.Value, shapes: Shapes) -> Projection | ir.Node | None:
    """Return the projection that data movement takes `value` from, else the node it comes from.

    None for a graph input or a constant.
    """
    while True:
        node = value.producer()
        if node is None:
            return None
        found = projection_of(node)
        if node.op_type == "Add" and found is None:
            for operand in node.inputs:
                inner = operand.producer() if operand is not None else None
                candidate = projection_of(inner) if inner is not None else None
                if candidate is not None and candidate.output is value:
                    found = candidate
        if found is not None:
            return found
        data = _moved_input(node, shapes)
        if data is None:
            return node
        value = data


def arrivals(value: ir.Value, numbers: Numbers, shapes: Shapes) -> Iterator[Arrival]:
    """Yield each use that `value` is put to behind any data movement; its lengths are no use.

    Args:
        value: where to start.
        numbers: an array of the value's shape to follow.
        shapes: of the values on the way.
    """
    if value.is_graph_output():
        yield Arrival(value=value, user=None, index=0, numbers=numbers)
    for user, index in value.uses():
        if user.op_type in _LENGTHS:
            continue
        results = moved(user, index, numbers, shapes)
        if results is None:
            yield Arrival(value=value, user=user, index=index, numbers=numbers)
            continue
        for output, result in zip(user.outputs, results, strict=True):
            yield from arrivals(output, result, shapes)


def columns_of(projection: Projection, shapes: Shapes) -> Numbers | None:
    """Return the column number at each position of the output; None when its shape is unknown."""
    shape = shapes.get(projection.output.name or "")
    if shape is None:
        return None
    return np.broadcast_to(np.arange(projection.columns), shape)


def moved(node: ir.Node, index: int, numbers: Numbers, shapes: Shapes) -> list[Numbers] | None:
    """Return what a node of data movement makes of the numbers; None for any other node.

    Args:
        node: any.
        index: at which of its inputs the numbers are.
        numbers: of that input's shape.
        shapes: of the values around it.

    Returns:
        one array an output.
    """
    data = _moved_input(node, shapes)
    if data is None or node.inputs[index] is not data:
        return None
    if node.op_type == "Split":
        return _split(node, numbers, shapes)
    result: Numbers | None = numbers
    if node.op_type == "Transpose":
        result = np.transpose(numbers, node.attributes.get_ints("perm", None))
    elif node.op_type == "Gather":
        result = _gather(node, numbers)
    elif node.op_type == "Slice":
        result = _slice(node, numbers)
    elif node.op_type in _SHAPED:
        result = _shaped(node, numbers, shapes)
    return None if result is None else [result] * len(node.outputs)


def _moved_input(node: ir.Node, shapes: Shapes) -> ir.Value | None:
    """Return what a node of data movement moves; None for any other node."""
    if node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type in {"Mul", "Div"}:
        for index in (0, 1) if node.op_type == "Mul" else (0,):
            data, factor = node.inputs[index], node.inputs[1 - index]
            if data is not None and factor is not None and _is_scalar(factor, data, shapes):
                return data
        return None
    return node.inputs[0] if node.op_type in _MOVING else None


def _is_scalar(factor: ir.Value, data: ir.Value, shapes: Shapes) -> bool:
    shape, whole = shapes.get(factor.name or ""), shapes.get(data.name or "")
    if shape is None or whole is None:
        return False
    return len(shape) <= len(whole) and math.prod(shape) == 1


def _split(node: ir.Node, numbers: Numbers, shapes: Shapes) -> list[Numbers] | None:
    axis = node.attributes.get_int("axis", 0)
    found = [shapes.get(output.name or "") for output in node.outputs]
    lengths = [shape[axis] for shape in found if shape is not None]
    if len(lengths) != len(found) or sum(lengths) != numbers.shape[axis]:
        return None
    return np.split(numbers, np.cumsum(lengths)[:-1], axis)


def _gather(node: ir.Node, numbers: Numbers) -> Numbers | None:
    chosen = _integers(node, 1)
    axis = node.attributes.get_int("axis", 0)
    return None if chosen is None else np.take(numbers, chosen, axis)


def _slice(node: ir.Node, numbers: Numbers) -> Numbers | None:
    if len(node.inputs) < 3:  # noqa: PLR2004  # data, starts, ends; attributes until opset 9
        return None
    starts, ends, axes, steps = (_integers(node, index) for index in range(1, 5))
    if starts is None or ends is None or (steps is not None and (steps < 1).any()):
        return None
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    window = [slice(None)] * numbers.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        window[axis] = slice(int(start), int(end), int(step))
    return numbers[tuple(window)]


def _shaped(node: ir.Node, numbers: Numbers, shapes: Shapes) -> Numbers | None:
    shape = shapes.get(node.outputs[0].name or "")
    if shape is None:
        return None
    if node.op_type == "Expand":
        return np.broadcast_to(numbers, shape)
    return numbers.reshape(shape) if math.prod(shape) == numbers.size else None


def _integers(node: ir.Node, index: int) -> Numbers | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None else constant_of(value)
