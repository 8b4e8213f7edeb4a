"""Places are looked up: gathered, scattered, sorted, counted."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import ints, number

_LARGEST_BY_ATTRIBUTE = 10


def gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """The axis becomes the axes of the indices."""
    axis = node.get("axis", 0) % x.ndim
    places = _positive(indices, x.shape[axis])
    picked = x.index_select(axis, places.reshape(-1))
    return picked.reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """One index an element."""
    axis = node.get("axis", 0)
    return torch.gather(x, axis, _positive(indices, x.shape[axis]))


def gather_nd(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    """The last axis of the indices is a place in x, behind `batch_dims`."""
    shared = node.get("batch_dims", 0)
    front = x.shape[:shared]
    flat = x.reshape(-1, *x.shape[shared:])
    places = indices.long().reshape(len(flat), -1, indices.shape[-1])
    index = [_positive(one, size) for one, size in zip(places.unbind(-1), flat.shape[1:])]  # noqa: B905  # may name fewer axes than there are
    rows = torch.arange(len(flat))[:, None].expand(places.shape[:-1])
    picked = flat[(rows, *index)]
    return picked.reshape([*front, *indices.shape[shared:-1], *flat.shape[1 + places.shape[-1] :]])


def scatter_elements(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """One index an element; what meets is reduced."""
    axis, reduction = node.get("axis", 0), node.get("reduction", "none")
    places = _positive(indices, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, places, updates)
    return x.scatter_reduce(axis, places, updates, _REDUCTIONS[reduction])


def scatter_nd(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """The last axis of the indices is a place in x."""
    depth, reduction = indices.shape[-1], node.get("reduction", "none")
    places = indices.long().reshape(-1, depth)
    rows = torch.zeros(len(places), dtype=torch.int64)
    for one, size in zip(places.unbind(-1), x.shape):  # noqa: B905  # as in gather_nd
        rows = rows * size + _positive(one, size)
    flat = x.reshape(-1, *x.shape[depth:])
    parts = updates.reshape(-1, *x.shape[depth:])
    if reduction == "none":
        return flat.index_put((rows,), parts).reshape(x.shape)
    wide = rows.reshape(-1, *[1] * (parts.ndim - 1)).expand(parts.shape)
    return flat.scatter_reduce(0, wide, parts, _REDUCTIONS[reduction]).reshape(x.shape)


def one_hot(node: Node, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """Off and on are the two values; an index out of range is off everywhere."""
    count = int(number(depth))
    places = indices.long()
    places = torch.where(places < 0, places + count, places).unsqueeze(-1)
    hot = (places == torch.arange(count)).movedim(-1, node.get("axis", -1))
    return torch.where(hot, values[1], values[0])


def top_k(node: Node, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sorted; of equals the first counts, as of numpy's stable order."""
    axis = node.get("axis", -1)
    count = node.get("k") if node.opset < _LARGEST_BY_ATTRIBUTE or k is None else ints(k)[0]
    order = torch.argsort(x, dim=axis, descending=bool(node.get("largest", 1)), stable=True)
    places = order.narrow(axis, 0, count)
    return torch.gather(x, axis, places), places


def cum_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Backwards, or without the element itself."""
    along = int(number(axis))
    if node.get("reverse", 0):
        x = x.flip(along)
    total = x.cumsum(along, dtype=x.dtype)
    if node.get("exclusive", 0):
        total = total - x
    return total.flip(along) if node.get("reverse", 0) else total


def compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    """Keep where the condition holds."""
    axis = node.get("axis")
    places = torch.nonzero(condition).reshape(-1)
    return x.reshape(-1)[places] if axis is None else x.index_select(axis, places)


def _positive(indices: Tensor, size: int) -> Tensor:
    places = indices.long()
    return torch.where(places < 0, places + size, places)


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}

OPERATORS: dict[str, Operator] = {
    "Compress": compress,
    "CumSum": cum_sum,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": lambda _, x: torch.nonzero(x).T,
    "OneHot": one_hot,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TopK": top_k,
}
