"""Parts a fused projection, so that what was fused can have different widths.

    x W -> Reshape [.., 3, H, D] -> Transpose -> Gather 0, 1, 2

gives queries, keys and values one common width D. The same comes out of

    x W0 -> Reshape [.., H, D] -> Transpose
    x W1 -> ...
    x W2 -> ...

where each weight has the columns of one part. Which columns those are, and how they lie in it, is
read off numbers that went through the graph (`tracing`): [3, H, D] and [H, 3, D] are one case.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.graph.costs import concrete_shapes
from edgekit.graph.surgery import constant_of
from edgekit.pruning.projections import Projection, projection_of
from edgekit.pruning.tracing import Numbers, Shapes, arrivals, moved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
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
class _Start:
    """Where a projection's columns are still together: behind it, or behind a first Reshape.

    Attributes:
        whole: the value's shape with the columns on one last axis.
        positions: what the target of a Reshape of the projection says of the axes before that.
    """

    value: ir.Value
    whole: tuple[int, ...]
    positions: list[int]


class _Refusal(Exception):  # noqa: N818  # an answer, not an error
    """Why a projection stays as it is."""


def unfused(
    model: Model, shapes: dict[str, tuple[int, ...]]
) -> tuple[Model, tuple[str, ...], tuple[Skip, ...]]:
    """Return the model with fused projections parted, and the names of those projections.

    Outputs are the same, but for the order of sums inside a product.

    Args:
        model: unchanged; its constants are initializers.
        shapes: of the inputs.

    Returns:
        the model; names of the products that are parted now; the fused ones that stay as they are.

    Raises:
        ModelError: a shape does not fit its input.
    """
    dynamic = {spec.name for spec in model.inputs if spec.shape and isinstance(spec.shape[0], str)}
    tried = {
        name: (shape[0] + 1, *shape[1:]) if name in dynamic else shape
        for name, shape in shapes.items()
    }
    known = concrete_shapes(model, tried)
    graph = model.editable()
    changed, skipped = [], []
    for node in list(graph.graph):
        projection = projection_of(node)
        start = None if projection is None else _start(projection, known)
        if projection is None or start is None:
            continue
        name = node.name or node.op_type
        try:
            parts = _parts(projection, start, known)
            if parts:
                _rebuild(graph.graph, projection, parts, start.positions)
                changed.append(name)
        except _Refusal as refusal:
            skipped.append(Skip(where=name, reason=str(refusal)))
    if not changed:
        return model, (), tuple(skipped)
    RemoveUnusedNodesPass()(graph)
    return Model(ir=graph, name=model.name), tuple(changed), tuple(skipped)


def _parts(projection: Projection, start: _Start, shapes: Shapes) -> list[_Part]:
    """Return the parts of a projection; none when it is not fused, or its parts are apart anyway.

    Raises:
        _Refusal: it is fused in a form that is not known.
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
        raise _Refusal("its weight is used elsewhere, too")
    seen = np.concatenate([np.unique(numbers % columns) for _, numbers in found])
    if len(np.unique(seen)) != len(seen) or len(seen) != columns:
        raise _Refusal("its parts overlap or leave columns out")
    return [_part(value, numbers, start.whole) for value, numbers in found]


def _start(projection: Projection, shapes: Shapes) -> _Start | None:
    """Return where to start; None when the shape is not known or the columns end at an output."""
    value, uses = projection.output, tuple(projection.output.uses())
    shape = shapes.get(value.name or "")
    if shape is None or value.is_graph_output():
        return None
    plain = _Start(value=value, whole=shape, positions=[0] * (len(shape) - 1))
    reshape = uses[0].node if len(uses) == 1 and uses[0].idx == 0 else None
    if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[1] is None:
        return plain
    target = constant_of(reshape.inputs[1])
    after = shapes.get(reshape.outputs[0].name or "")
    if target is None or after is None or reshape.outputs[0].is_graph_output():
        return plain
    for count in range(1, len(after)):
        if math.prod(after[-count:]) == shape[-1]:
            return _Start(
                value=reshape.outputs[0],
                whole=(*after[:-count], shape[-1]),
                positions=[int(length) for length in target[:-count]],
            )
    return plain


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


def _part(value: ir.Value, elements: Numbers, whole: tuple[int, ...]) -> _Part:
    """Return how a value's elements lie in the columns they come from.

    Raises:
        _Refusal: no Reshape of the last axis and Transpose give the value.
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
        raise _Refusal("its positions are moved in an unknown way before its columns are parted")
    return _Part(value=value, columns=columns, lengths=tuple(lengths[positions:]), perm=perm)


def _order(places: Numbers, positions: tuple[int, ...]) -> list[int]:
    """Return the axes from the slowest to the fastest; axes of length 1 where `positions` has."""
    long = [axis for axis, length in enumerate(places.shape) if length > 1]
    steps = {axis: int(np.take(places, 1, axis).flat[0]) for axis in long}
    long.sort(key=lambda axis: -steps[axis])
    short = [axis for axis in range(places.ndim) if axis not in steps]
    order = [queue.pop(0) for length in positions if (queue := short if length == 1 else long)]
    return [*order, *short, *long]


def _rebuild(
    graph: ir.Graph, projection: Projection, parts: list[_Part], positions: list[int]
) -> None:
    """Make each part of a product of its own, in place."""
    product, last = projection.node, projection.output.producer()
    if last is None:
        raise AssertionError
    nodes: list[ir.Node] = []

    def then(operator: str, inputs: list[ir.Value], name: str, **attributes: object) -> ir.Value:
        node = ir.node(operator, inputs, attributes=attributes or None, name=name)
        node.outputs[0].name, node.outputs[0].type = name, projection.output.type
        nodes.append(node)
        return node.outputs[0]

    for index, part in enumerate(parts):
        name = f"{product.name}.{index}"
        weight = _columns(graph, projection.weight, part.columns, projection.axis)
        end = projection.data
        if projection.bias is None:
            end = then(product.op_type, [end, weight], name, **dict(product.attributes))
        elif last is product:
            bias = _columns(graph, projection.bias, part.columns, 0)
            end = then(product.op_type, [end, weight, bias], name, **dict(product.attributes))
        else:
            bias = _columns(graph, projection.bias, part.columns, 0)
            end = then("Add", [then(product.op_type, [end, weight], name), bias], f"{name}.bias")
        target = [*positions, *part.lengths]
        if target != [0] * len(positions) + [len(part.columns)]:
            shape = _initializer(graph, f"{name}.shape", np.array(target, np.int64))
            end = then("Reshape", [end, shape], f"{name}.reshape")
        if part.perm != tuple(range(len(part.perm))):
            end = then("Transpose", [end], f"{name}.transpose", perm=part.perm)
        _take_over(part.value, end)
    graph.insert_after(last, nodes)


def _take_over(old: ir.Value, new: ir.Value) -> None:
    """Put `new` in the place of `old`, name and all."""
    name, old.name = old.name, None
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    new.name, new.shape = name, old.shape


def _columns(graph: ir.Graph, value: ir.Value, columns: Numbers, axis: int) -> ir.Value:
    """Return a new initializer that holds some columns; a view where they are side by side."""
    if value.const_value is None:
        raise AssertionError
    side_by_side = columns[-1] - columns[0] + 1 == len(columns)
    chosen = slice(columns[0], columns[-1] + 1) if side_by_side else columns
    array = value.const_value.numpy()
    taken = array[chosen] if axis == 0 else array[:, chosen]
    names = (f"{value.name}.{columns[0]}" + "'" * more for more in itertools.count())
    name = next(name for name in names if name not in graph.initializers)
    return _initializer(graph, name, taken)


def _initializer(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    graph.register_initializer(value)
    return value
