"""Rules of operators with weights: they sum over the channels of their input and make new ones."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.pruning.coupling import Ids
from edgekit.pruning.flow import Axes, Flow, Refusal

_MATRIX = 2


def convolution(flow: Flow, node: ir.Node) -> None:
    """Conv: the weight is [out, in / group, kernel...]."""
    x, w = _operands(node)
    axes, group = flow.axes(x), node.attributes.get_int("group", 1)
    made, read = flow.axes(w)[:2]
    for ids in axes[2:]:
        flow.pin(ids, node, "convolves over them")
    if group == 1:
        summed = flow.join([axes[1], read], node)
        flow.contract(node, (x, 1), (w, 1), 1)
        flow.product(node, (made, summed))
    elif _whole(axes[1], group, flow.shape(w)[1], flow.shape(w)[0] // group):
        flow.pin(read, node, "channels inside of a group")
        _unite_blocks(flow, node, axes[1], made, group)
        flow.product(node, (made,))
    else:
        _unite_places(flow, node, axes[1], group)
        _unite_places(flow, node, made, group)
        inside = None if axes[1] is None else axes[1].reshape(group, -1)[0]
        summed = flow.join([inside, read], node)
        flow.contract(node, (x, 1), (w, 1), 1)
        flow.product(node, (made, summed))
    _finish(flow, node, axes, made)
    flow.produce(node, w, 0, made)


def transposed_convolution(flow: Flow, node: ir.Node) -> None:
    """ConvTranspose: the weight is [in, out / group, kernel...]."""
    x, w = _operands(node)
    axes, group = flow.axes(x), node.attributes.get_int("group", 1)
    read, made = flow.axes(w)[:2]
    for ids in axes[2:]:
        flow.pin(ids, node, "convolves over them")
    width = flow.shape(w)[1]
    if group == 1:
        summed = flow.join([axes[1], read], node)
        flow.contract(node, (x, 1), (w, 0), 1)
        flow.product(node, (made, summed))
        flow.produce(node, w, 1, made)
    elif _whole(axes[1], group, flow.shape(w)[0] // group, width):
        flow.pin(made, node, "channels inside of a group")
        _unite_blocks(flow, node, axes[1], read, group)
        flow.product(node, (read,))
        flow.produce(node, w, 0, read)
        made = None if read is None else np.repeat(read.reshape(group, -1)[:, 0], width)
    else:
        _unite_places(flow, node, read, group)
        summed = flow.join([axes[1], read], node)
        flow.contract(node, (x, 1), (w, 0), 1)
        flow.product(node, (made, summed))
        tiled = None if made is None else np.tile(made, group)
        flow.produce(node, w, 1, tiled)
        made = tiled
    _finish(flow, node, axes, made)


def gemm(flow: Flow, node: ir.Node) -> None:
    """Gemm: [M, K] by [K, N], either transposed, plus what broadcasts to [M, N]."""
    a, b = _operands(node)
    ka = 0 if node.attributes.get_int("transA", 0) else 1
    kb = 1 if node.attributes.get_int("transB", 0) else 0
    rows, columns = flow.axes(a)[1 - ka], flow.axes(b)[1 - kb]
    summed = flow.join([flow.axes(a)[ka], flow.axes(b)[kb]], node)
    flow.contract(node, (a, ka), (b, kb), 1)
    flow.product(node, (rows, columns, summed))
    bias = node.inputs[2] if len(node.inputs) > _MATRIX else None
    made: Axes = [rows, columns]
    if bias is not None:
        for place in range(1, len(flow.shape(bias)) + 1):
            if flow.shape(bias)[-place] > 1:
                made[-place] = flow.join([made[-place], flow.axes(bias)[-place]], node)
    flow.give(node.outputs[0], made)
    flow.produce(node, b, 1 - kb, columns)


def matrix_product(flow: Flow, node: ir.Node) -> None:
    """MatMul as numpy has it: [.., M, K] by [.., K, N], vectors included."""
    a, b = _operands(node)
    ranks = len(flow.shape(a)), len(flow.shape(b))
    ka, kb = ranks[0] - 1, max(0, ranks[1] - _MATRIX)
    summed = flow.join([flow.axes(a)[ka], flow.axes(b)[kb]], node)
    made = _batch_axes(flow, node, a, b)
    if ranks[0] > 1:
        made.append(flow.axes(a)[-2])
    if ranks[1] > 1:
        made.append(flow.axes(b)[-1])
    flow.product(node, (*made, summed))
    flow.give(node.outputs[0], made)
    if a.is_initializer() and not b.is_initializer():
        output = len(made) - min(ranks[1], _MATRIX) if ranks[0] > 1 else None
        flow.contract(node, (b, kb), (a, ka), output)
        if ranks[0] > 1:
            flow.produce(node, a, ranks[0] - 2, flow.axes(a)[-2])
    else:
        flow.contract(node, (a, ka), (b, kb), len(made) - 1 if ranks[1] > 1 else None)
        if ranks[1] > 1:
            flow.produce(node, b, ranks[1] - 1, flow.axes(b)[-1])


def einsum(flow: Flow, node: ir.Node) -> None:
    """Einsum of two operands without an ellipsis: each letter is one axis."""
    equation = (node.attributes.get_string("equation", "") or "").replace(" ", "")
    sides, _, result = equation.partition("->")
    terms = sides.split(",")
    if (
        "." in equation
        or not result
        or len(terms) != _MATRIX
        or any(len(set(term)) < len(term) for term in (*terms, result))
    ):
        raise Refusal(f"equation {equation!r}")
    a, b = _operands(node)
    axes = dict(zip(terms[0], flow.axes(a), strict=True))
    for letter, ids in zip(terms[1], flow.axes(b), strict=True):
        axes[letter] = flow.join([axes[letter], ids], node) if letter in axes else ids
    for letter in set(terms[0] + terms[1]) - set(result):
        if letter in terms[0] and letter in terms[1]:
            places = terms[0].index(letter), terms[1].index(letter)
            new = [place for place, out in enumerate(result) if out not in terms[0]]
            flow.contract(node, (a, places[0]), (b, places[1]), new[0] if len(new) == 1 else None)
        else:
            flow.pin(axes[letter], node, "sums over the channels")
    flow.product(node, axes.values())
    flow.give(node.outputs[0], [axes[letter] for letter in result])
    for place, letter in enumerate(terms[1]):
        if letter in result and letter not in terms[0]:
            flow.produce(node, b, place, axes[letter])


def _operands(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    a, b = node.inputs[:2]
    if a is None or b is None:
        raise Refusal("an operand that is missing")
    return a, b


def _batch_axes(flow: Flow, node: ir.Node, a: ir.Value, b: ir.Value) -> Axes:
    """Return the broadcast of all axes but the last two."""
    fronts = [(flow.axes(value)[:-2], flow.shape(value)[:-2]) for value in (a, b)]
    rank = max(len(shape) for _, shape in fronts)
    result: Axes = []
    for place in range(-rank, 0):
        meeting = [ids[place] for ids, shape in fronts if -place <= len(shape) and shape[place] > 1]
        result.append(flow.join(meeting, node))
    return result


def _whole(data: Ids | None, group: int, read: int, made: int) -> bool:
    """Say whether whole groups are removed, rather than the same places in each."""
    if min(read, made) == 1:
        return True
    return data is not None and group >= read


def _unite_blocks(
    flow: Flow, node: ir.Node, data: Ids | None, weight: Ids | None, group: int
) -> None:
    """Unite all channels of each group, of the data and of the weight's axis."""
    if data is None or weight is None:
        flow.join([data, weight], node)
        return
    blocks = data.reshape(group, -1), weight.reshape(group, -1)
    for block in blocks:
        flow.unite(block[:, :1], block[:, 1:], node)
    flow.unite(blocks[0][:, 0], blocks[1][:, 0], node)


def _unite_places(flow: Flow, node: ir.Node, ids: Ids | None, group: int) -> None:
    """Unite the channels at the same place of every group."""
    if ids is not None:
        places = ids.reshape(group, -1)
        flow.unite(places[:1], places[1:], node)


def _finish(flow: Flow, node: ir.Node, axes: Axes, made: Ids | None) -> None:
    bias = node.inputs[2] if len(node.inputs) > _MATRIX else None
    if bias is not None and flow.shape(bias)[0] > 1:
        made = flow.join([made, flow.axes(bias)[0]], node)
    flow.give(node.outputs[0], [axes[0], made, *[None] * (len(axes) - 2)])
