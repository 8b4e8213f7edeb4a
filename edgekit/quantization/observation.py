"""Adds to a graph what calibration wants to know, so that whole activations never leave it.

Per tensor: exact minimum and maximum, its size, every n-th element, and the mean of each channel
where a unit with a weight reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.quantization.histogram import POSITIONS

PARTS = ("low", "high", "size", "some", "mean")
_MARK = ":edgekit-"
_AXES_ARE_INPUT = 18
_UNKNOWN_AXIS = 64


def observed(
    model: Model, tensors: tuple[str, ...], axes: dict[str, int]
) -> tuple[Model, tuple[str, ...]]:
    """Return the model with observing nodes, and the names of what they yield.

    Args:
        model: with shapes inferred; where a shape is unknown all elements are taken.
        tensors: activations to observe.
        axes: channel axis of those whose channel means are wanted.
    """
    graph = model.editable()
    values = {value.name: value for value in graph.graph.inputs}
    values.update((value.name, value) for node in graph.graph for value in node.outputs)
    flat = _constant(graph.graph, "flat", np.array([-1], np.int64))
    added: list[ir.Node] = []
    for name in tensors:
        value = values[name]
        if value.dtype not in (None, ir.DataType.FLOAT):
            continue
        added.append(_node("ReduceMin", [value], name, "low", keepdims=0))
        added.append(_node("ReduceMax", [value], name, "high", keepdims=0))
        added.append(_node("Size", [value], name, "size"))
        added.extend(_some(graph.graph, value, name, flat))
        if name in axes and value.shape is not None:
            added.append(_mean(graph, value, name, axes[name]))
    graph.graph.extend(added)
    names = tuple(
        node.outputs[0].name or ""
        for node in added
        if split(node.outputs[0].name or "")[1] in PARTS
    )
    return Model(ir=graph, name=model.name), names


def split(name: str) -> tuple[str, str]:
    """Return (tensor, part) of a name that `observed` gave."""
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


def _some(graph: ir.Graph, value: ir.Value, name: str, flat: ir.Value) -> Iterator[ir.Node]:
    reshape = _node("Reshape", [value, flat], name, "flat")
    yield reshape
    step = 1
    if value.shape is not None:
        axes = [axis if isinstance(axis, int) else _UNKNOWN_AXIS for axis in value.shape]
        if value.shape and not isinstance(value.shape[0], int):
            axes[0] = 1
        step = step_of(tuple(axes))
    bounds = [
        _constant(graph, f"{label}-{number}", np.array([number], np.int64))
        for label, number in (("start", 0), ("end", np.iinfo(np.int64).max), ("axis", 0))
    ]
    stride = _constant(graph, f"step-{step}", np.array([step], np.int64))
    yield _node("Slice", [reshape.outputs[0], *bounds, stride], name, "some")


def _mean(model: ir.Model, value: ir.Value, name: str, axis: int) -> ir.Node:
    rank = len(value.shape or ())
    others = [other for other in range(rank) if other != axis % rank]
    if model.opset_imports.get("", 0) < _AXES_ARE_INPUT:
        return _node("ReduceMean", [value], name, "mean", keepdims=0, axes=others)
    key = "-".join(map(str, others))
    wanted = _constant(model.graph, f"axes-{key}", np.array(others, np.int64))
    return _node("ReduceMean", [value, wanted], name, "mean", keepdims=0)


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
