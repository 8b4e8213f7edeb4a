"""Finds the products of attention, and which columns of which projection are a head's width.

    scores  = q k',  q = x Wq + bq, k = z Wk + bk         MatMul of two projections
    context = p v,   v = z Wv + bv, then context Wo       MatMul of a projection, then another one

with Reshape, Transpose, Split, Gather and multiplication by a number anywhere between. What happens
from the scores to p (scale, mask, position bias, Softmax) does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.graph.surgery import constant_of
from edgekit.pruning.projections import Projection, is_own, projection_of
from edgekit.pruning.tracing import (
    Arrival,
    Numbers,
    Shapes,
    arrivals,
    columns_of,
    projection_behind,
)

_LONGEST = 12
"""Nodes between the scores and their softmax, or between that and the context, at most."""
_GROUPED = "heads share columns, as in grouped-query attention"
_UP_TO_SOFTMAX = frozenset({"Add", "Cast", "Div", "Mul", "Reshape", "Where"})
_FROM_SOFTMAX = _UP_TO_SOFTMAX | {"Dropout", "Identity", "Transpose"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """An operand of a product: columns of a projection, shape (heads, width)."""

    projection: Projection
    columns: Numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """q k'.

    Attributes:
        node: the MatMul.
        query, key: head h of the one meets head h of the other.
        softmax: do the scores go through a softmax over the keys? Then adding the same to all
            keys changes nothing.
    """

    node: ir.Node
    query: Side
    key: Side
    softmax: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """p v.

    Attributes:
        node: the MatMul.
        value: where v comes from.
        output: the projection that reads the context.
        rows: of its weight, one for each of `value.columns`.
    """

    node: ir.Node
    value: Side
    output: Projection
    rows: Numbers


class _Refusal(Exception):  # noqa: N818  # an answer, not an error
    """Why a product is not one of these."""


@dataclass(slots=True)
class _Search:
    shapes: Shapes
    uses: dict[ir.Value, list[Arrival]] = field(default_factory=dict)


def products_of(
    graph: ir.Graph, shapes: Shapes
) -> tuple[tuple[Scores | Context, ...], tuple[Skip, ...]]:
    """Return the products of attention, and those of two activations that are in another form.

    Args:
        graph: its constants are initializers.
        shapes: of its values.
    """
    search = _Search(shapes)
    found: list[Scores | Context] = []
    skipped = []
    for node in graph:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in {"MatMul", "Einsum"}:
            continue
        if any(value is None or constant_of(value) is not None for value in node.inputs):
            continue
        try:
            found.append(_product(node, search))
        except _Refusal as refusal:
            skipped.append(Skip(where=node.name or node.op_type, reason=str(refusal)))
    return tuple(found), tuple(skipped)


def _product(node: ir.Node, search: _Search) -> Scores | Context:
    if node.op_type == "Einsum":
        raise _Refusal("is an Einsum of two activations; only MatMul is known")
    return _context(node, search) if _from_softmax(node) else _scores(node, search)


def _scores(node: ir.Node, search: _Search) -> Scores:
    query, rows = _operand(node, 0, search)
    key, numbers = _operand(node, 1, search)
    columns = np.swapaxes(numbers, -1, -2)
    if (rows != rows[..., :1, :]).any() or (columns != columns[..., :1, :]).any():
        raise _Refusal("does not sum over the columns of a projection")
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    width = rows.shape[-1]
    pairs = np.concatenate(
        [
            np.broadcast_to(part[..., 0, :], (*batch, width)).reshape(-1, width)
            for part in (rows, columns)
        ],
        axis=1,
    )
    heads = np.unique(pairs, axis=0)
    return Scores(
        node=node,
        query=_side(node, 0, query, heads[:, :width], search),
        key=_side(node, 1, key, heads[:, width:], search),
        softmax=_to_softmax(node, search),
    )


def _context(node: ir.Node, search: _Search) -> Context:
    projection, numbers = _operand(node, 1, search)
    if (numbers != numbers[..., :1, :]).any():
        raise _Refusal("does not keep the columns of a projection")
    heads = np.unique(numbers[..., 0, :].reshape(-1, numbers.shape[-1]), axis=0)
    value = _side(node, 1, projection, heads, search)
    shape = search.shapes.get(node.outputs[0].name or "")
    if shape is None:
        raise _Refusal("its shape is not known")
    result = np.broadcast_to(numbers[..., :1, :], shape)
    readers = list(arrivals(node.outputs[0], result, search.shapes))
    if len(readers) != 1:
        raise _Refusal("its result is read in several places")
    reader = readers[0]
    output = None if reader.user is None or reader.index else projection_of(reader.user)
    if output is None:
        raise _Refusal(f"{_told(reader.user)} stands before the output projection")
    if not is_own(output):
        raise _Refusal("the output projection's weights are used elsewhere, too, or not float32")
    lines = reader.numbers.reshape(-1, reader.numbers.shape[-1])
    if len(np.unique(lines[0])) < lines.shape[1] and np.isin(lines[0], heads).all():
        raise _Refusal(_GROUPED)
    order = np.argsort(lines[0])
    if (lines != lines[0]).any() or not np.array_equal(lines[0][order], np.sort(heads, axis=None)):
        raise _Refusal("the output projection reads other columns, too")
    rows = order[np.searchsorted(lines[0][order], heads)]
    return Context(node=node, value=value, output=output, rows=rows)


def _operand(node: ir.Node, index: int, search: _Search) -> tuple[Projection, Numbers]:
    """Return the projection behind an operand, and how its columns lie in there."""
    value = node.inputs[index]
    behind = None if value is None else projection_behind(value, search.shapes)
    if not isinstance(behind, Projection):
        raise _Refusal(f"{_told(behind)} stands between a projection and the product")
    for arrival in _uses(behind, search):
        if arrival.user is node and arrival.index == index:
            return behind, arrival.numbers
    raise _Refusal("data moves between a projection and the product in an unknown way")


def _side(
    node: ir.Node, index: int, projection: Projection, columns: Numbers, search: _Search
) -> Side:
    """Return the columns of an operand, after a look at who else reads them."""
    if not is_own(projection):
        raise _Refusal("a projection's weights are used elsewhere, too, or not float32")
    if len(np.unique(columns)) != columns.size:
        raise _Refusal(_GROUPED)
    for arrival in _uses(projection, search):
        mine = arrival.user is node and arrival.index == index
        if not mine and np.isin(arrival.numbers, columns).any():
            raise _Refusal(f"{_told(arrival.user)} reads the same columns")
    return Side(projection=projection, columns=columns)


def _uses(projection: Projection, search: _Search) -> list[Arrival]:
    if projection.output not in search.uses:
        numbers = columns_of(projection, search.shapes)
        if numbers is None:
            raise _Refusal("a shape is not known")
        found = list(arrivals(projection.output, numbers, search.shapes))
        search.uses[projection.output] = found
    return search.uses[projection.output]


def _from_softmax(product: ir.Node) -> bool:
    """Does the left operand come from a softmax?"""
    values = [product.inputs[0]]
    for _ in range(_LONGEST):
        value = values.pop() if values else None
        node = None if value is None else value.producer()
        if node is not None and node.op_type == "Softmax":
            return True
        if node is not None and node.op_type in _FROM_SOFTMAX:
            values.extend(reversed(node.inputs))
    return False


def _to_softmax(product: ir.Node, search: _Search) -> bool:
    """Do the scores go through nothing but numbers and masks to a softmax over the last axis?"""
    value = product.outputs[0]
    keys = (search.shapes.get(value.name or "") or (0,))[-1]
    for _ in range(_LONGEST):
        users = [use.node for use in value.uses()]
        shape = search.shapes.get(value.name or "")
        if len(users) != 1 or value.is_graph_output() or shape is None or shape[-1] != keys:
            return False
        if users[0].op_type == "Softmax":
            return users[0].attributes.get_int("axis", -1) in {-1, len(shape) - 1}
        if users[0].op_type not in _UP_TO_SOFTMAX:
            return False
        value = users[0].outputs[0]
    return False


def _told(node: ir.Node | None) -> str:
    return "an input or output" if node is None else f"{node.op_type} {node.name}"
