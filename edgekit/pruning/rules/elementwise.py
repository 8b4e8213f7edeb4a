"""Rules of operators that work element by element: what meets at a position stays together."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgekit.pruning.coupling import Ids
from edgekit.pruning.flow import Axes, Flow, Refusal


def broadcast(flow: Flow, node: ir.Node) -> None:
    """Unite the operands' axes under numpy's broadcasting; an axis of length 1 passes the other."""
    operands = [value for value in node.inputs if value is not None]
    flow.give(node.outputs[0], broadcast_axes(flow, node, operands))


def broadcast_axes(flow: Flow, node: ir.Node, operands: Sequence[ir.Value]) -> Axes:
    """Return the axes of the operands' broadcast."""
    axes = [flow.axes(value) for value in operands]
    shapes = [flow.shape(value) for value in operands]
    rank = max(map(len, shapes), default=0)
    result: Axes = []
    for place in range(-rank, 0):
        meeting: list[Ids | None] = [
            ids[place]
            for ids, shape in zip(axes, shapes, strict=True)
            if -place <= len(shape) and shape[place] > 1
        ]
        result.append(flow.join(meeting, node))
    return result


def passing(flow: Flow, node: ir.Node) -> None:
    """Pass every axis of the first input on; other inputs are numbers."""
    for value in node.inputs[1:]:
        if value is not None and any(length > 1 for length in flow.shape(value)):
            raise Refusal("a parameter that is not a number")
    for output in node.outputs:
        flow.give(output, flow.axes(node.inputs[0]))


def scaled(flow: Flow, node: ir.Node) -> None:
    """QuantizeLinear and DequantizeLinear: scale and zero-point are numbers, or one a channel."""
    axes = flow.axes(node.inputs[0])
    axis = node.attributes.get_int("axis", 1)
    if node.attributes.get_int("block_size", 0):
        raise Refusal("scales a block")
    for value in node.inputs[1:]:
        if value is not None and any(length > 1 for length in flow.shape(value)):
            flow.join([axes[axis], flow.axes(value)[0]], node)
    flow.give(node.outputs[0], axes)


def per_channel(flow: Flow, node: ir.Node) -> None:
    """BatchNormalization: four parameters a channel."""
    if node.attributes.get_int("training_mode", 0):
        raise Refusal("training mode")
    axes = flow.axes(node.inputs[0])
    axes[1] = flow.join([axes[1], *(flow.axes(value)[0] for value in node.inputs[1:5])], node)
    flow.give(node.outputs[0], axes)


def instance_norm(flow: Flow, node: ir.Node) -> None:
    """Each channel is normalized by itself, over space."""
    axes = flow.axes(node.inputs[0])
    for ids in axes[2:]:
        flow.pin(ids, node, "normalizes over them")
    axes[1] = flow.join([axes[1], *(flow.axes(value)[0] for value in node.inputs[1:3])], node)
    flow.give(node.outputs[0], [*axes[:2], *[None] * (len(axes) - 2)])


def layer_norm(flow: Flow, node: ir.Node) -> None:
    """Pin what is normalized over: mean and variance would change."""
    axes = flow.axes(node.inputs[0])
    first = node.attributes.get_int("axis", -1) % len(axes)
    for value in node.inputs:
        for ids in flow.axes(value)[-(len(axes) - first) :] if value is not None else ():
            flow.pin(ids, node, "normalizes over the channels")
    for output in node.outputs:
        if len(flow.shape(output)) == len(axes):
            flow.give(output, [*axes[:first], *[None] * (len(axes) - first)])


def channel_norm(flow: Flow, node: ir.Node) -> None:
    """GroupNormalization and LRN: what one channel becomes depends on others."""
    axes = flow.axes(node.inputs[0])
    for value in node.inputs:
        flow.pin_value(value, node, "normalizes over channels")
    flow.give(node.outputs[0], [axes[0], *[None] * (len(axes) - 1)])
