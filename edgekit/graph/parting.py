"""Cut weights into parts once and for all.

Exporters put the gates of recurrent layers into ONNX's order by Slice and Concat on the weights.
The library folds the Concat, but not the Slices, of which each alone would let the file grow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph.surgery import constant_of


def part_weights(graph: ir.Graph) -> None:
    """Replace the Slices of a weight by their results, in place.

    A weight stays whole when anything else reads it, or when its parts overlap so that they are
    larger than it is.
    """
    for weight in list(graph.initializers.values()):
        tensor, nodes = weight.const_value, weight.consumers()
        if tensor is None or weight.is_graph_output() or not nodes:
            continue
        if any(node.graph is not graph or _window(node, weight) is None for node in nodes):
            continue
        array = tensor.numpy()
        parts = [array[window] for node in nodes if (window := _window(node, weight)) is not None]
        if sum(part.size for part in parts) <= array.size:
            for node, part in zip(nodes, parts, strict=True):
                _replace(graph, node, part)
            if weight.name and not weight.is_graph_input():
                del graph.initializers[weight.name]


def _window(node: ir.Node, weight: ir.Value) -> tuple[slice, ...] | None:
    """Return what a Slice takes of the weight; None when that is computed or goes backwards."""
    plain = node.op_type == "Slice" and not node.domain and not node.outputs[0].is_graph_output()
    if not plain or node.inputs[0] is not weight:
        return None
    given = [None if value is None else constant_of(value) for value in node.inputs[1:]]
    said = sum(value is not None for value in node.inputs[1:])
    if len(given) < 2 or sum(part is not None for part in given) != said:  # noqa: PLR2004  # starts and ends
        return None
    starts, ends, axes, steps = (*given, None, None)[:4]
    if starts is None or ends is None or weight.shape is None:
        return None
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    if (steps < 1).any():
        return None
    window = [slice(None)] * len(weight.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        window[axis] = slice(int(start), int(end), int(step))
    return tuple(window)


def _replace(graph: ir.Graph, node: ir.Node, part: NDArray[Any]) -> None:
    old = node.outputs[0]
    name, old.name = old.name, None
    new = ir.Value(name=name, const_value=ir.tensor(np.ascontiguousarray(part), name=name))
    new.dtype, new.shape = ir.DataType.from_numpy(part.dtype), ir.Shape(part.shape)
    graph.register_initializer(new)
    old.replace_all_uses_with(new)
    graph.remove(node, safe=True)
