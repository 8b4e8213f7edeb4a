"""Rules of operators that look along an axis: its channels must stay, the others pass."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.pruning.flow import Flow, Refusal, constant


def reduction(flow: Flow, node: ir.Node) -> None:
    """Reduce*: the reduced axes lose their channels."""
    axes = flow.axes(node.inputs[0])
    over = _reduced(node, len(axes))
    for axis in over:
        flow.pin(axes[axis], node, "reduces over the channels")
    keeps = node.attributes.get_int("keepdims", 1)
    flow.give(
        node.outputs[0],
        [
            None if axis in over else ids
            for axis, ids in enumerate(axes)
            if keeps or axis not in over
        ],
    )


def arg_reduction(flow: Flow, node: ir.Node) -> None:
    """ArgMax and ArgMin: positions along the axis are the answer."""
    axes = flow.axes(node.inputs[0])
    over = node.attributes.get_int("axis", 0) % len(axes)
    flow.pin(axes[over], node, "answers with positions among the channels")
    rest = [None if axis == over else ids for axis, ids in enumerate(axes)]
    if not node.attributes.get_int("keepdims", 1):
        del rest[over]
    flow.give(node.outputs[0], rest)


def along(flow: Flow, node: ir.Node) -> None:
    """Softmax and its kind: what one channel becomes depends on the others along `axis`."""
    axes = flow.axes(node.inputs[0])
    axis = node.attributes.get_int("axis", -1)
    if node.op_type == "CumSum":
        (axis,) = constant(node, 1) or [0]
    flow.pin(axes[axis], node, "works along the channels")
    axes[axis] = None
    flow.give(node.outputs[0], axes)


def top_k(flow: Flow, node: ir.Node) -> None:
    """TopK: as `along`, with two outputs."""
    axes = flow.axes(node.inputs[0])
    axis = node.attributes.get_int("axis", -1)
    flow.pin(axes[axis], node, "chooses among the channels")
    axes[axis] = None
    for output in node.outputs:
        flow.give(output, axes)


def mean_variance(flow: Flow, node: ir.Node) -> None:
    """MeanVarianceNormalization: pins the axes it works over."""
    axes = flow.axes(node.inputs[0])
    for axis in node.attributes.get_ints("axes", (0, 2, 3)):
        flow.pin(axes[axis], node, "normalizes over them")
        axes[axis] = None
    flow.give(node.outputs[0], axes)


def pooling(flow: Flow, node: ir.Node) -> None:
    """Pools over space; channels pass."""
    axes = flow.axes(node.inputs[0])
    for ids in axes[2:]:
        flow.pin(ids, node, "pools over them")
    for output in node.outputs:
        flow.give(output, [*axes[:2], *[None] * (len(axes) - 2)])


def _reduced(node: ir.Node, rank: int) -> set[int]:
    over = constant(node, 1)
    if over is None and node.attributes.get_ints("axes", None) is not None:
        over = list(node.attributes.get_ints("axes", ()))
    if over is None or not over:
        if node.attributes.get_int("noop_with_empty_axes", 0):
            return set()
        return set(range(rank))
    if any(not -rank <= axis < rank for axis in over):
        raise Refusal("an axis out of range")
    return {axis % rank for axis in over}
