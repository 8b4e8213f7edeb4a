"""Rules of operators that move data: the numbers are moved alike."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import FIXED, Ids
from edgekit.pruning.flow import Axes, Flow, Refusal, constant


def transpose(flow: Flow, node: ir.Node) -> None:
    """Permute the axes."""
    axes = flow.axes(node.inputs[0])
    order = node.attributes.get_ints("perm", None) or range(len(axes))[::-1]
    flow.give(node.outputs[0], [axes[axis] for axis in order])


def concat(flow: Flow, node: ir.Node) -> None:
    """Put the channels of one axis behind each other; the other axes meet."""
    parts = [value for value in node.inputs if value is not None]
    rank = len(flow.shape(parts[0]))
    axis = node.attributes.get_int("axis", 0) % rank
    result: Axes = []
    for place in range(rank):
        ids = [flow.axes(value)[place] for value in parts]
        if place != axis:
            met = [
                one for one, value in zip(ids, parts, strict=True) if flow.shape(value)[place] > 1
            ]
            result.append(flow.join(met, node))
        elif all(one is None for one in ids):
            result.append(None)
        else:
            result.append(np.concatenate([_filled(flow, v, place) for v in parts]))
    flow.give(node.outputs[0], result)


def split(flow: Flow, node: ir.Node) -> None:
    """Cut one axis into the outputs."""
    axes = flow.axes(node.inputs[0])
    axis = node.attributes.get_int("axis", 0) % len(axes)
    start = 0
    for output in node.outputs:
        length = flow.shape(output)[axis]
        part = list(axes)
        ids = axes[axis]
        part[axis] = None if ids is None else ids[start : start + length]
        flow.give(output, part)
        start += length


def slice_(flow: Flow, node: ir.Node) -> None:
    """Take a stretch of some axes; with a step, every stride of channels stays together."""
    axes, shape = flow.axes(node.inputs[0]), flow.shape(node.inputs[0])
    if len(node.inputs) == 1:
        raise Refusal("the form of opset 9")
    try:
        starts, ends = constant(node, 1) or [], constant(node, 2) or []
        over = constant(node, 3) or list(range(len(starts)))
        steps = constant(node, 4) or [1] * len(starts)
    except Refusal:
        _computed_slice(flow, node, axes)
        return
    for start, end, axis, step in zip(starts, ends, over, steps, strict=True):
        ids = axes[axis]
        if ids is None:
            continue
        if step > 1 and shape[axis] % step == 0:
            places = ids.reshape(-1, step)
            flow.unite(places[:, :1], places[:, 1:], node)
        elif step != 1:
            flow.pin(ids, node, f"takes them by steps of {step}")
        axes[axis] = ids[start:end:step] if step > 0 else None
    flow.give(node.outputs[0], axes)


def _computed_slice(flow: Flow, node: ir.Node, axes: Axes) -> None:
    """A slice whose bounds depend on the input: axes that change their length are fixed."""
    before, after = flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    over = constant(node, 3)
    for axis, ids in enumerate(axes):
        touched = before[axis] != after[axis] or over is None
        if touched or axis in [one % len(axes) for one in over or ()]:
            flow.pin(ids, node, "cuts at a computed place")
            axes[axis] = None
    flow.give(node.outputs[0], axes)


def gather(flow: Flow, node: ir.Node) -> None:
    """Take channels by constant indices; computed ones pin the axis (an embedding's rows).

    The axes of computed indices stand in its place.
    """
    axes, shape = flow.axes(node.inputs[0]), flow.shape(node.inputs[0])
    axis = node.attributes.get_int("axis", 0) % len(axes)
    value = node.inputs[1]
    indices = constant_of(value) if value is not None else None
    ids, taken = axes[axis], None
    places = len(flow.shape(node.outputs[0])) - len(axes) + 1
    if indices is None:
        flow.pin(ids, node, "chooses them by a computed index")
    elif ids is not None:
        taken = ids[np.asarray(indices, np.int64) % shape[axis]]
        if places != 1:
            flow.pin(taken, node, "takes single ones")
    inner: Axes = [taken] if places == 1 else [None] * places
    if indices is None:
        inner = flow.axes(value)
    flow.give(node.outputs[0], [*axes[:axis], *inner, *axes[axis + 1 :]])


def pad(flow: Flow, node: ir.Node) -> None:
    """Put constants around; those have no channel and stay."""
    axes = flow.axes(node.inputs[0])
    pads = constant(node, 1)
    over = constant(node, 3) or list(range(len(axes)))
    if pads is None:
        raise Refusal("the form of opset 2")
    for place, axis in enumerate(over):
        ids, before, after = axes[axis], pads[place], pads[place + len(over)]
        if ids is None or not (before or after):
            continue
        if min(before, after) < 0 or node.attributes.get_string("mode", "constant") != "constant":
            flow.pin(ids, node, "pads with channels or cuts them")
            axes[axis] = None
        else:
            axes[axis] = np.pad(ids, (before, after), constant_values=FIXED)
    flow.give(node.outputs[0], axes)


def expand(flow: Flow, node: ir.Node) -> None:
    """Repeat along axes of length 1: what comes of it is alike, so any of it can be removed."""
    axes, before = flow.axes(node.inputs[0]), flow.shape(node.inputs[0])
    after = flow.shape(node.outputs[0])
    result: Axes = []
    for place in range(-len(after), 0):
        same = -place <= len(before) and before[place] == after[place]
        result.append(axes[place] if same else flow.fresh(after[place]))
    flow.give(node.outputs[0], result)


def constant_of_shape(flow: Flow, node: ir.Node) -> None:
    """A value repeated along every axis: as `expand`."""
    output = node.outputs[0]
    flow.give(output, [flow.fresh(length) for length in flow.shape(output)])


def tile(flow: Flow, node: ir.Node) -> None:
    """Repeat whole axes."""
    before, after = flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    axes = [
        None if ids is None else np.tile(ids, new // old)
        for ids, old, new in zip(flow.axes(node.inputs[0]), before, after, strict=True)
    ]
    flow.give(node.outputs[0], axes)


def resize(flow: Flow, node: ir.Node) -> None:
    """Stretch space; an axis that keeps its length keeps its channels."""
    before, after = flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    result: Axes = []
    for ids, old, new in zip(flow.axes(node.inputs[0]), before, after, strict=True):
        if old != new:
            flow.pin(ids, node, "interpolates between them")
        result.append(ids if old == new else None)
    flow.give(node.outputs[0], result)


def depth_to_space(flow: Flow, node: ir.Node) -> None:
    """The block's places of one channel stay together."""
    axes = flow.axes(node.inputs[0])
    ids, block = axes[1], node.attributes.get_int("blocksize", 1) ** 2
    made: Ids | None = None
    if ids is not None:
        crd = node.attributes.get_string("mode", "DCR") == "CRD"
        places = ids.reshape(-1, block).T if crd else ids.reshape(block, -1)
        flow.unite(places[:1], places[1:], node)
        made = places[0]
    flow.give(node.outputs[0], [axes[0], made, None, None])


def space_to_depth(flow: Flow, node: ir.Node) -> None:
    """Every channel is repeated for each place of the block."""
    axes = flow.axes(node.inputs[0])
    ids, block = axes[1], node.attributes.get_int("blocksize", 1) ** 2
    flow.give(node.outputs[0], [axes[0], None if ids is None else np.tile(ids, block), None, None])


def shape(flow: Flow, node: ir.Node) -> None:
    """A shape carries no channels; surgery sees to the numbers in it."""
    flow.give(node.outputs[0], [None] * len(flow.shape(node.outputs[0])))


def _filled(flow: Flow, value: ir.Value, axis: int) -> Ids:
    ids = flow.axes(value)[axis]
    return np.full(flow.shape(value)[axis], FIXED, np.int64) if ids is None else ids
