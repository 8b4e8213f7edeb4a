"""Rules that move a Transpose behind what follows it, until it meets the one that undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .graph import Graph

_ELEMENTWISE = frozenset(
    ("DEQUANTIZE", "HARD_SWISH", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1")
)
_PAIRWISE = frozenset(("ADD", "MUL", "SUB"))
_SMALLER = 4


def undo_transposes(graph: Graph, op: Any) -> bool:
    """Drop a Transpose that undoes the one before it."""
    order = _order(graph, op)
    if order is None or op.outputs[0] in graph.of.outputs:
        return False
    before = graph.writer.get(op.inputs[0])
    first = _order(graph, before)
    if before is None or first is None or [first[at] for at in order] != sorted(order):
        return False
    graph.replace(op, [])
    graph.read_instead(int(op.outputs[0]), int(before.inputs[0]))
    return True


def transpose_later(graph: Graph, op: Any) -> bool:
    """Let an elementwise operator go before the Transpose that it reads."""
    kind = graph.kind(op)
    written = int(op.outputs[0])
    if kind not in _ELEMENTWISE | _PAIRWISE or written in graph.of.outputs:
        return False
    befores = [graph.writer.get(at) for at in op.inputs]
    orders = [_order(graph, before) for before in befores]
    order = next((each for each in orders if each is not None), None)
    if order is None or not _undone_behind(graph, written, order):
        return False
    back = [order.index(axis) for axis in sorted(order)]
    inputs, axes = [], -1
    for at, before, its in zip(op.inputs, befores, orders, strict=True):
        if before is not None and its == order:
            inputs.append(int(before.inputs[0]))
            axes = int(before.inputs[1])
        elif its is None and _is_small(graph, at, written):
            inputs.append(_transposed(graph, op, at, back))
        else:
            return False
    shape = graph.tensor(written).shape
    result = graph.add_like(written, [shape[axis] for axis in back])
    op.inputs, op.outputs = inputs, [result]
    graph.replace(op, [op, graph.node("TRANSPOSE", [result, axes], written)])
    return True


def mean_before(graph: Graph, op: Any) -> bool:
    """Let a mean over axes go before the Transpose that it reads: it leaves less to move."""
    order = _order(graph, graph.writer.get(op.inputs[0])) if graph.kind(op) == "MEAN" else None
    data = None if order is None else graph.model.buffers[graph.tensor(op.inputs[1]).buffer].data
    if order is None or data is None or not op.builtinOptions.keepDims:
        return False
    written, before = int(op.outputs[0]), graph.writer[op.inputs[0]]
    axes = np.asarray([order[axis] for axis in np.frombuffer(bytes(data), np.int32)], np.int32)
    shape = graph.tensor(written).shape
    result = graph.add_like(written, [shape[order.index(axis)] for axis in sorted(order)])
    op.inputs = [before.inputs[0], graph.add(int(op.inputs[1]), axes.shape, None, axes)]
    op.outputs = [result]
    graph.replace(op, [op, graph.node("TRANSPOSE", [result, before.inputs[1]], written)])
    return True


def _undone_behind(graph: Graph, at: int, order: Sequence[int]) -> bool:
    """Say whether a Transpose back or a mean is met behind `at`, elementwise operators apart."""
    seen, waiting = {at}, [at]
    while waiting:
        for reader in graph.readers.get(waiting.pop(), []):
            its = _order(graph, reader)
            undone = its is not None and [order[axis] for axis in its] == sorted(order)
            if undone or graph.kind(reader) == "MEAN":
                return True
            out = int(reader.outputs[0])
            if graph.kind(reader) in _ELEMENTWISE | _PAIRWISE and out not in seen:
                seen.add(out)
                waiting.append(out)
    return False


def _is_small(graph: Graph, at: int, written: int) -> bool:
    small, large = graph.tensor(at).shape, graph.tensor(written).shape
    same_rank = len(small) == len(large) and at in graph.writer
    return same_rank and _SMALLER * int(np.prod(small)) <= int(np.prod(large))


def _transposed(graph: Graph, op: Any, at: int, order: Sequence[int]) -> int:
    """Transpose `at` before `op` and return the result."""
    values = np.asarray(order, np.int32)
    shape = graph.tensor(at).shape
    result = graph.add_like(at, [shape[axis] for axis in order])
    axes = graph.add(at, values.shape, None, values)
    graph.replace(op, [graph.node("TRANSPOSE", [at, axes], result), op])
    return result


def _order(graph: Graph, op: Any) -> list[int] | None:
    """Return the axes of a Transpose; None for anything else."""
    if op is None or graph.kind(op) != "TRANSPOSE":
        return None
    data = graph.model.buffers[graph.tensor(op.inputs[1]).buffer].data
    return None if data is None else [int(axis) for axis in np.frombuffer(bytes(data), np.int32)]
