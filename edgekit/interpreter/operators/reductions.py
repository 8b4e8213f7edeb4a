"""Axes are summed up, or searched."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import ints

Reduction = Callable[[Tensor, list[int]], Tensor]
"""Over at least one axis, none of them negative; the axes stay, of length 1."""


def reducing(function: Reduction) -> Operator:
    """Return an operator whose axes are an attribute or, in later opsets, an input."""

    def reduce(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = list(node.get("axes", ())) if axes is None else ints(axes)
        if not given and node.get("noop_with_empty_axes", 0):
            return x
        along = sorted({axis % x.ndim for axis in given}) if given else list(range(x.ndim))
        if not along:
            return function(x.unsqueeze(0), [0]).squeeze(0)
        made = function(x, along)
        return made if node.get("keepdims", 1) else made.squeeze(along)

    return reduce


def searching(*, largest: bool) -> Operator:
    """Return ArgMax or ArgMin."""

    def search(node: Node, x: Tensor) -> Tensor:
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        last = bool(node.get("select_last_index", 0))
        seen = x.flip(axis) if last else x
        found = seen.argmax(axis, keep) if largest else seen.argmin(axis, keep)
        return x.shape[axis] - 1 - found if last else found

    return search


def _sum(x: Tensor, axes: list[int]) -> Tensor:
    return x.sum(axes, True, dtype=x.dtype)


def _mean(x: Tensor, axes: list[int]) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, True)
    return x.double().mean(axes, True).to(x.dtype)


def _prod(x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = x.prod(axis, True, dtype=x.dtype)
    return x


def _max(x: Tensor, axes: list[int]) -> Tensor:
    return _least(x, axes) if _nothing(x, axes) else x.amax(axes, True)


def _min(x: Tensor, axes: list[int]) -> Tensor:
    return _most(x, axes) if _nothing(x, axes) else x.amin(axes, True)


def _nothing(x: Tensor, axes: list[int]) -> bool:
    return any(x.shape[axis] == 0 for axis in axes)


def _least(x: Tensor, axes: list[int]) -> Tensor:
    if x.is_floating_point():
        return _filled(x, axes, -torch.inf)
    return _filled(x, axes, 0 if x.dtype == torch.bool else torch.iinfo(x.dtype).min)


def _most(x: Tensor, axes: list[int]) -> Tensor:
    if x.is_floating_point():
        return _filled(x, axes, torch.inf)
    return _filled(x, axes, 1 if x.dtype == torch.bool else torch.iinfo(x.dtype).max)


def _filled(x: Tensor, axes: list[int], value: float) -> Tensor:
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return torch.full(sizes, value, dtype=x.dtype)


def _sum_square(x: Tensor, axes: list[int]) -> Tensor:
    return (x * x).sum(axes, True, dtype=x.dtype)


def _l1(x: Tensor, axes: list[int]) -> Tensor:
    return x.abs().sum(axes, True, dtype=x.dtype)


def _l2(x: Tensor, axes: list[int]) -> Tensor:
    if x.is_floating_point():
        return torch.linalg.vector_norm(x, 2, axes, True)
    return (x.double() ** 2).sum(axes, True).sqrt().to(x.dtype)


def _log_sum(x: Tensor, axes: list[int]) -> Tensor:
    return x.sum(axes, True).log()


def _log_sum_exp(x: Tensor, axes: list[int]) -> Tensor:
    return x.logsumexp(axes, True)


OPERATORS: dict[str, Operator] = {
    "ArgMax": searching(largest=True),
    "ArgMin": searching(largest=False),
    "ReduceL1": reducing(_l1),
    "ReduceL2": reducing(_l2),
    "ReduceLogSum": reducing(_log_sum),
    "ReduceLogSumExp": reducing(_log_sum_exp),
    "ReduceMax": reducing(_max),
    "ReduceMean": reducing(_mean),
    "ReduceMin": reducing(_min),
    "ReduceProd": reducing(_prod),
    "ReduceSum": reducing(_sum),
    "ReduceSumSquare": reducing(_sum_square),
}
