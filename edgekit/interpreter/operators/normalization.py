"""Scaled by their own statistics, or by given ones; and softmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import type_of

_SOFTMAX_ALONG_ONE_AXIS = 13
_GROUPS_SCALED_BY_CHANNEL = 21


def batch_norm(node: Node, x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """By the statistics that are given; in training mode by its own, which move the given ones."""
    scale, bias, mean, variance = parameters
    sizes = [1, -1, *[1] * (x.ndim - 2)]
    if node.get("training_mode", 0):
        axes = [0, *range(2, x.ndim)]
        given, momentum = (mean, variance), node.get("momentum", 0.9)
        mean, variance = x.mean(axes), x.var(axes, correction=0)
        moved = [
            old * momentum + new * (1 - momentum)
            for old, new in zip(given, (mean, variance), strict=True)
        ]
    elif any(node.outputs[1:]):
        raise node.refusal("statistics as outputs")
    else:
        moved = []
    factor = (scale / torch.sqrt(variance + node.get("epsilon", 1e-5))).reshape(sizes)
    return ((x - mean.reshape(sizes)) * factor + bias.reshape(sizes)).to(x.dtype), *moved


def layer_norm(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Over all axes from `axis` on; also the mean and the inverse deviation."""
    axes = list(range(node.get("axis", -1) % x.ndim, x.ndim))
    wide = x.to(type_of(node.get("stash_type", 1))) if x.dtype != torch.float64 else x
    mean = wide.mean(axes, True)
    centred = wide - mean
    inverse = torch.rsqrt((centred * centred).mean(axes, True) + node.get("epsilon", 1e-5))
    made = (centred * inverse).to(x.dtype) * scale
    return made if bias is None else made + bias, mean, inverse


def rms_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """Source: Zhang & Sennrich 2019."""
    axes = list(range(node.get("axis", -1) % x.ndim, x.ndim))
    wide = x.to(type_of(node.get("stash_type", 1))) if x.dtype != torch.float64 else x
    inverse = torch.rsqrt((wide * wide).mean(axes, True) + node.get("epsilon", 1e-5))
    return (wide * inverse).to(x.dtype) * scale


def instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each sample by itself."""
    sizes = [1, -1, *[1] * (x.ndim - 2)]
    centred = _standard(x, list(range(2, x.ndim)), node.get("epsilon", 1e-5))
    return centred * scale.reshape(sizes) + bias.reshape(sizes)


def group_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Scaled a group before opset 21, a channel since."""
    groups = node.get("num_groups")
    parts = x.reshape(x.shape[0], groups, -1)
    centred = _standard(parts, [2], node.get("epsilon", 1e-5)).reshape(x.shape)
    if node.opset < _GROUPS_SCALED_BY_CHANNEL and len(scale) == groups:
        scale, bias = (one.repeat_interleave(x.shape[1] // groups) for one in (scale, bias))
    sizes = [1, -1, *[1] * (x.ndim - 2)]
    return centred * scale.reshape(sizes) + bias.reshape(sizes)


def mean_variance(node: Node, x: Tensor) -> Tensor:
    """Centred and of unit variance over some axes."""
    axes = list(node.get("axes", (0, 2, 3)))
    centred = x - x.mean(axes, True)
    return centred / ((centred * centred).mean(axes, True).sqrt() + 1e-9)


def lp_norm(node: Node, x: Tensor) -> Tensor:
    """Divided by the norm along an axis; zeros stay."""
    norm = torch.linalg.vector_norm(x, node.get("p", 2), node.get("axis", -1), True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


def local_response(node: Node, x: Tensor) -> Tensor:
    """Source: Krizhevsky et al. 2012, section 3.3."""
    size = node.get("size")
    squares = torch.nn.functional.pad(
        (x * x).movedim(1, -1), [(size - 1) // 2, size - 1 - (size - 1) // 2]
    )
    sums = squares.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    base = node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * sums
    return x / base ** node.get("beta", 0.75)


def softmax(node: Node, x: Tensor) -> Tensor:
    """Along one axis; before opset 13 over all axes from `axis` on."""
    return _over(node, x, torch.softmax)


def log_softmax(node: Node, x: Tensor) -> Tensor:
    """The logarithm of softmax."""
    return _over(node, x, torch.log_softmax)


def hardmax(node: Node, x: Tensor) -> Tensor:
    """One at the first of the largest."""

    def one_hot(rows: Tensor, axis: int) -> Tensor:
        places = rows.argmax(axis, True)
        return torch.zeros_like(rows).scatter(axis, places, 1)

    return _over(node, x, one_hot)


def _over(node: Node, x: Tensor, function: Operator) -> Tensor:
    if node.opset >= _SOFTMAX_ALONG_ONE_AXIS:
        made: Tensor = function(x, node.get("axis", -1))
        return made
    axis = node.get("axis", 1) % x.ndim
    rows: Tensor = function(x.reshape(math.prod(x.shape[:axis]), -1), 1)
    return rows.reshape(x.shape)


def _standard(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, True)
    return centred * torch.rsqrt((centred * centred).mean(axes, True) + epsilon)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "Hardmax": hardmax,
    "InstanceNormalization": instance_norm,
    "LRN": local_response,
    "LayerNormalization": layer_norm,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance,
    "RMSNormalization": rms_norm,
    "Softmax": softmax,
}
