"""Rule of Reshape, Flatten, Squeeze and Unsqueeze: lay numbers out as the data, read them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.pruning.coupling import Ids
from edgekit.pruning.flow import Axes, Flow, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Neighbouring axes before that hold the same elements as neighbouring axes after."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def reshape(flow: Flow, node: ir.Node) -> None:
    """Carry channels over, one stretch of axes at a time.

    Where an axis of channels is split, one of the new axes carries them and what lies at the same
    place of it is united: every head's width, or with `Flow.heads` all of a head.
    """
    before, after = flow.shape(node.inputs[0]), flow.shape(node.outputs[0])
    axes = flow.axes(node.inputs[0])
    result: Axes = [None] * len(after)
    for stretch in stretches(before, after):
        if all(axes[axis] is None for axis in stretch.before):
            continue
        lengths = [after[axis] for axis in stretch.after]
        numbers = _laid_out(flow, node, axes, before, stretch).reshape(lengths)
        place = _carrier(flow, node, numbers, stretch)
        rows = np.moveaxis(numbers, place, 0).reshape(lengths[place], -1)
        if not (rows == rows[:, :1]).all():
            flow.unite(rows[:, :1], rows[:, 1:], node)
        result[stretch.after[place]] = rows[:, 0].copy()
    flow.give(node.outputs[0], result)


def stretches(before: Sequence[int], after: Sequence[int]) -> list[Stretch]:
    """Part two shapes of as many elements into the smallest stretches, without axes of length 1.

    Raises:
        Refusal: the shapes do not hold as many elements, or none.
    """
    if math.prod(before) != math.prod(after) or not math.prod(before):
        raise Refusal("shapes that do not fit")
    left = [axis for axis, length in enumerate(before) if length != 1]
    right = [axis for axis, length in enumerate(after) if length != 1]
    found = []
    while left:
        ours, theirs = [left.pop(0)], [right.pop(0)]
        sizes = [before[ours[0]], after[theirs[0]]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                ours.append(left.pop(0))
                sizes[0] *= before[ours[-1]]
            else:
                theirs.append(right.pop(0))
                sizes[1] *= after[theirs[-1]]
        found.append(Stretch(before=tuple(ours), after=tuple(theirs)))
    return found


def _laid_out(
    flow: Flow, node: ir.Node, axes: Axes, before: Sequence[int], stretch: Stretch
) -> Ids:
    """Return the numbers as an array over the stretch's axes before."""
    live = [axis for axis in stretch.before if axes[axis] is not None]
    chosen = live[0] if flow.heads else live[-1]
    for axis in live:
        if axis != chosen:
            flow.pin(axes[axis], node, "merges two axes of channels")
    lengths = [before[axis] for axis in stretch.before]
    aligned = [1] * len(lengths)
    place = stretch.before.index(chosen)
    aligned[place] = lengths[place]
    ids = axes[chosen]
    assert ids is not None  # noqa: S101  # chosen among the live
    return np.broadcast_to(ids.reshape(aligned), lengths)


def _carrier(flow: Flow, node: ir.Node, numbers: Ids, stretch: Stretch) -> int:
    """Return which of the axes after carries the channels."""
    rank = numbers.ndim
    for place in range(rank):
        rows = np.moveaxis(numbers, place, 0).reshape(numbers.shape[place], -1)
        if (rows == rows[:, :1]).all():
            return place
    if len(stretch.before) > 1:
        return 0
    apart = _apart(flow, node, stretch)
    if apart and not flow.heads:
        return stretch.after.index(apart[-1])
    return rank - 2 if flow.heads else rank - 1


def _apart(flow: Flow, node: ir.Node, stretch: Stretch) -> list[int]:
    """Return the axes after that a following Reshape leaves apart from the others.

    In Reshape, Transpose, Reshape (sub-pixel convolution) the axis that meets no other again is
    the one of channels.
    """
    value, places = node.outputs[0], {axis: axis for axis in stretch.after}
    while True:
        users = list(value.uses())
        if len(users) != 1:
            return []
        user = users[0].node
        if user.op_type == "Transpose":
            order = user.attributes.get_ints("perm", None)
            if order is None:
                return []
            places = {axis: list(order).index(place) for axis, place in places.items()}
        elif user.op_type == "Reshape":
            parts = stretches(flow.shape(value), flow.shape(user.outputs[0]))
            alone = [part.before[0] for part in parts if len(part.before) == 1]
            found = [axis for axis in stretch.after if places[axis] in alone]
            return found if len(found) < len(stretch.after) else []
        else:
            return []
        value = user.outputs[0]
