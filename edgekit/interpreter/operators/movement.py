"""Data is moved, joined and cut; no arithmetic."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import ints, number, type_of

_INPUTS_SINCE = 13
"""Axes of Squeeze, Unsqueeze and Split became inputs."""
_SLICE_INPUTS_SINCE = 10
_SLICE_INPUTS = 4


def reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """0 keeps an axis unless `allowzero`; -1 is the rest."""
    sizes = ints(shape)
    if not node.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    elif 0 in sizes and -1 in sizes:
        raise node.refusal("0 and -1 in one shape", str(sizes))
    return x.reshape(sizes)


def flatten(node: Node, x: Tensor) -> Tensor:
    """All axes before `axis`, and all others."""
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def transpose(node: Node, x: Tensor) -> Tensor:
    """Backwards when no order is given."""
    return x.permute(*node.get("perm", range(x.ndim)[::-1]))


def concat(node: Node, *inputs: Tensor) -> Tensor:
    """Join on an axis."""
    return torch.cat(inputs, node.get("axis", 1))


def split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Sizes are an attribute before opset 13, an input since; else equal, the last one smaller."""
    axis = node.get("axis", 0)
    given = node.get("split") if sizes is None else ints(sizes)
    if given is None:
        parts = node.get("num_outputs", len(node.outputs))
        size = -(-x.shape[axis] // parts)
        given = [min(size, x.shape[axis] - size * index) for index in range(parts)]
    return tuple(torch.split(x, list(given), axis))


def slice_(node: Node, x: Tensor, *inputs: Tensor | None) -> Tensor:
    """Bounds are attributes before opset 10, inputs since; a negative step goes backwards."""
    starts, ends, axes, steps = (*inputs, *[None] * _SLICE_INPUTS)[:_SLICE_INPUTS]
    attributes = node.opset < _SLICE_INPUTS_SINCE
    firsts = list(node.get("starts", ())) if attributes else ints(starts)
    lasts = list(node.get("ends", ())) if attributes else ints(ends)
    along = list(node.get("axes", ())) if attributes else ints(axes)
    along = along or list(range(len(firsts)))
    strides = ints(steps) or [1] * len(firsts)
    for axis, first, last, step in zip(along, firsts, lasts, strides, strict=True):
        places = range(x.shape[axis])[slice(first, last, step)]
        if step < 0:
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64))
        else:
            index: list[slice] = [slice(None)] * x.ndim
            index[axis] = slice(places.start, max(places.stop, places.start), step)
            x = x[tuple(index)]
    return x


def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """The given axes, or all of length 1."""
    given = node.get("axes") if node.opset < _INPUTS_SINCE else None
    given = ints(axes) if given is None and axes is not None else given
    if given is None:
        return x.squeeze()
    dropped = {axis % x.ndim for axis in given}
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in dropped])


def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Axes count in the result."""
    given = node.get("axes", ()) if axes is None else ints(axes)
    rank = x.ndim + len(given)
    new = {axis % rank for axis in given}
    sizes = iter(x.shape)
    return x.reshape([1 if axis in new else next(sizes) for axis in range(rank)])


def expand(_: Node, x: Tensor, shape: Tensor) -> Tensor:
    """Broadcast both ways."""
    return x.expand(torch.broadcast_shapes(x.shape, ints(shape)))


def tile(_: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """Repeat each axis."""
    return x.repeat(ints(repeats)) if x.ndim else x


def pad(
    node: Node,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """Attributes before opset 11. Negative pads cut; all but `constant` pick what is there."""
    amounts = list(node.get("pads", ())) if pads is None else ints(pads)
    along = [axis % x.ndim for axis in ints(axes)] if axes is not None else list(range(x.ndim))
    pairs = list(zip(along, amounts[: len(along)], amounts[len(along) :], strict=True))
    mode = node.get("mode", "constant")
    if mode == "constant":
        filler = node.get("value", 0.0) if value is None else number(value)
        both = {axis: (before, after) for axis, before, after in pairs}
        flat = [amount for axis in reversed(range(x.ndim)) for amount in both.get(axis, (0, 0))]
        if x.dtype == torch.bool:
            return torch.nn.functional.pad(x.byte(), flat, value=int(filler)).bool()
        return torch.nn.functional.pad(x, flat, value=filler)
    for axis, before, after in pairs:
        if before or after:
            x = x.index_select(axis, _sources(x.shape[axis], before, after, mode))
    return x


def _sources(size: int, before: int, after: int, mode: str) -> Tensor:
    """Return where each place of a padded axis is taken from."""
    places = np.arange(-before, size + after)
    if mode == "edge":
        return torch.from_numpy(places.clip(0, size - 1))
    if mode == "wrap":
        return torch.from_numpy(places % size)
    period = max(2 * (size - 1), 1)
    folded = places % period
    return torch.from_numpy(np.where(folded >= size, period - folded, folded))


def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """`DCR` has the block before the channels, `CRD` behind."""
    n, c, h, w = x.shape
    block = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        parts = x.reshape(n, block, block, -1, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, -1, block, block, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """The inverse of `DCR`."""
    n, c, h, w = x.shape
    block = node.get("blocksize")
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


def cast(node: Node, x: Tensor) -> Tensor:
    """A float becomes an integer toward zero."""
    return x.to(type_of(node.get("to")))


def trilu(node: Node, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    """Keep one triangle."""
    offset = 0 if diagonal is None else int(number(diagonal))
    return torch.triu(x, offset) if node.get("upper", 1) else torch.tril(x, offset)


def reverse_sequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    """The first so many steps of each sample backwards."""
    batch, time = node.get("batch_axis", 1), node.get("time_axis", 0)
    moved = x.movedim((batch, time), (0, 1))
    steps = torch.arange(moved.shape[1])
    found = lengths[:, None]
    source = torch.where(steps < found, found - 1 - steps, steps)
    return moved[torch.arange(len(moved))[:, None], source].movedim((0, 1), (batch, time))


OPERATORS: dict[str, Operator] = {
    "Cast": cast,
    "CastLike": lambda _, x, like: x.to(like.dtype),
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Pad": pad,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequence,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
}
