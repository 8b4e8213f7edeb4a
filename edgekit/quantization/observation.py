"""Adds to a graph what calibration wants to know, so that whole activations never leave it.

Per tensor: exact minimum and maximum, its size, every n-th element, and the mean of each channel
where a unit with a weight reads it.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.quantization.histogram import POSITIONS

_MARK = ":edgekit-"
_AXES_ARE_INPUT = 18
_UNKNOWN_AXIS = 64
EACH = ("low", "high", "size")
"""Names of outputs that hold one number for each observed tensor, in their order."""


def observed(
    model: Model, tensors: tuple[str, ...], axes: dict[str, int]
) -> tuple[Model, tuple[str, ...]]:
    """Return the model with observing nodes, and the names of what they yield.

    Those are `EACH`, then `some` of each tensor, then the `mean` of each channel where wanted;
    `split` tells the latter two apart.

    Args:
        model: with shapes inferred; where a shape is unknown all elements are taken.
        tensors: float32 activations to observe.
        axes: channel axis of those whose channel means are wanted.
    """
    edited = model.editable()
    graph = edited.graph
    values = {value.name: value for value in graph.inputs}
    values.update((value.name, value) for node in graph for value in node.outputs)
    flat = _constant(graph, "flat", np.array([-1], np.int64))
    each: dict[str, list[ir.Node]] = {part: [] for part in EACH}
    reshapes, parts = [], []
    for name in tensors:
        value = values[name]
        reshape = _node("Reshape", [value, flat], name, "flat")
        line = reshape.outputs[0]
        reshapes.append(reshape)
        each["low"].append(_node("ReduceMin", [line], name, "low"))
        each["high"].append(_node("ReduceMax", [line], name, "high"))
        each["size"].append(_node("Shape", [line], name, "size"))
        parts.append(_some(graph, line, value, name))
        if name in axes and value.shape is not None:
            parts.append(by_channel(edited, "ReduceMean", value, axes[name], (name, "mean")))
    joined = [
        _node("Concat", [node.outputs[0] for node in nodes], "", part, axis=0)
        for part, nodes in each.items()
        if nodes
    ]
    graph.extend([*reshapes, *(node for nodes in each.values() for node in nodes)])
    graph.extend([*joined, *parts])
    names = tuple(node.outputs[0].name or "" for node in (*joined, *parts))
    return Model(ir=edited, name=model.name), names


def split(name: str) -> tuple[str, str]:
    """Return (tensor, part) of a name that `observed` gave; no tensor for those of `EACH`."""
    tensor, _, part = name.rpartition(_MARK)
    return tensor, part


def step_of(shape: tuple[int, ...]) -> int:
    """Return a stride that takes about `POSITIONS` elements of a tensor of this shape.

    It shares no factor with any axis, so that it does not fall on one row, column or channel.
    """
    step = max(1, math.prod(shape) // POSITIONS)
    while any(math.gcd(step, axis) > 1 for axis in shape):
        step += 1
    return step


def _some(graph: ir.Graph, line: ir.Value, value: ir.Value, name: str) -> ir.Node:
    step = 1
    if value.shape is not None:
        axes = [axis if isinstance(axis, int) else _UNKNOWN_AXIS for axis in value.shape]
        if value.shape and not isinstance(value.shape[0], int):
            axes[0] = 1
        step = step_of(tuple(axes))
    bounds = [
        _constant(graph, label, np.array([number], np.int64))
        for label, number in (("start", 0), ("end", np.iinfo(np.int64).max), ("axis", 0))
    ]
    stride = _constant(graph, f"step-{step}", np.array([step], np.int64))
    return _node("Slice", [line, *bounds, stride], name, "some")


def by_channel(
    model: ir.Model, operator: str, value: ir.Value, axis: int, mark: tuple[str, str]
) -> ir.Node:
    """Return a node that reduces `value` over all axes but one.

    Args:
        model: takes in the constant that says which axes; the node is not put in.
        operator: ReduceMean, ReduceMin or ReduceMax.
        value: of known rank.
        axis: of the channels.
        mark: (tensor, part) as `split` gives them back.
    """
    rank = len(value.shape or ())
    others = [other for other in range(rank) if other != axis % rank]
    if model.opset_imports.get("", 0) < _AXES_ARE_INPUT:
        return _node(operator, [value], *mark, keepdims=0, axes=others)
    key = "-".join(map(str, others))
    wanted = _constant(model.graph, f"axes-{key}", np.array(others, np.int64))
    return _node(operator, [value, wanted], *mark, keepdims=0)


def _node(
    operator: str, inputs: list[ir.Value], name: str, part: str, **attributes: object
) -> ir.Node:
    node = ir.node(operator, inputs, attributes=attributes or None, name=f"{name}{_MARK}{part}")
    node.outputs[0].name = f"{name}{_MARK}{part}"
    return node


def _constant(graph: ir.Graph, label: str, array: np.ndarray) -> ir.Value:
    name = f"edgekit-{label}"
    if name not in graph.initializers:
        value = ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.INT64)
        )
        value.const_value = ir.tensor(array, name=name)
        graph.register_initializer(value)
    return graph.initializers[name]
