"""Windows are reduced to their largest element, mean or norm."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.operators.windows import Pads, flat, pads_of

_F = torch.nn.functional
_MAX = {1: _F.max_pool1d, 2: _F.max_pool2d, 3: _F.max_pool3d}
_CONV = {1: _F.conv1d, 2: _F.conv2d, 3: _F.conv3d}


def max_pool(node: Node, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Nothing outside counts. The places are those in the whole tensor."""
    kernel, strides, dilations, pads = _window(node, x)
    if node.get("storage_order", 0) and any(node.outputs[1:]):
        raise node.refusal("places by column")
    if not x.is_floating_point():
        made, _ = max_pool(node, x.double())
        return made.to(x.dtype), None
    padded = _F.pad(x, flat(pads), value=-torch.inf)
    if not any(node.outputs[1:]):
        return _MAX[len(kernel)](padded, kernel, strides, 0, dilations), None
    made, places = _MAX[len(kernel)](padded, kernel, strides, 0, dilations, return_indices=True)
    sizes = torch.tensor(padded.shape[2:])
    found = torch.zeros_like(places)
    for axis, (before, _) in enumerate(pads):
        within = places // int(sizes[axis + 1 :].prod()) % int(sizes[axis])
        found = found * x.shape[2 + axis] + within - before
    planes = torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(kernel))
    return made, found + planes * int(torch.tensor(x.shape[2:]).prod())


def average_pool(node: Node, x: Tensor) -> Tensor:
    """Pads count where `count_include_pad` says so; what `ceil_mode` reaches beyond never does."""
    kernel, strides, dilations, pads = _window(node, x)
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype)
    if node.get("count_include_pad", 0):
        given = _given(node, x)
        counted = _F.pad(counted, flat(given), value=1)
        rest = [(0, max(all_ - own, 0)) for (_, all_), (_, own) in zip(pads, given, strict=True)]
        counts = _sums(_F.pad(counted, flat(rest)), kernel, strides, dilations)
    else:
        counts = _sums(_F.pad(counted, flat(pads)), kernel, strides, dilations)
    return _sums(_F.pad(x, flat(pads)), kernel, strides, dilations) / counts


def lp_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm of each window."""
    kernel, strides, dilations, pads = _window(node, x)
    power = node.get("p", 2)
    sums = _sums(_F.pad(x.abs() ** power, flat(pads)), kernel, strides, dilations)
    return sums ** (1 / power)


def global_average_pool(_: Node, x: Tensor) -> Tensor:
    """Mean over all places."""
    return x.mean(list(range(2, x.ndim)), True)


def global_max_pool(_: Node, x: Tensor) -> Tensor:
    """Largest of all places."""
    return x.amax(list(range(2, x.ndim)), True)


def global_lp_pool(node: Node, x: Tensor) -> Tensor:
    """The p-norm over all places."""
    return torch.linalg.vector_norm(x, node.get("p", 2), list(range(2, x.ndim)), True)


def _window(node: Node, x: Tensor) -> tuple[list[int], list[int], list[int], Pads]:
    """Return kernel, strides, dilations and pads; with `ceil_mode` as far as the last window."""
    kernel = list(node.get("kernel_shape"))
    if len(kernel) not in _MAX:
        raise node.refusal("this many axes", str(len(kernel)))
    strides = list(node.get("strides", [1] * len(kernel)))
    dilations = list(node.get("dilations", [1] * len(kernel)))
    pads = _given(node, x)
    if not node.get("ceil_mode", 0):
        return kernel, strides, dilations, pads
    reached = []
    for axis, (before, after) in enumerate(pads):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        size = x.shape[2 + axis]
        outputs = -(-(size + before + after - span) // strides[axis]) + 1
        if (outputs - 1) * strides[axis] >= size + before:
            outputs -= 1
        reached.append((before, (outputs - 1) * strides[axis] + span - size - before))
    return kernel, strides, dilations, reached


def _given(node: Node, x: Tensor) -> Pads:
    kernel = node.get("kernel_shape")
    ones = [1] * len(kernel)
    return pads_of(
        node, x.shape[2:], kernel, node.get("strides", ones), node.get("dilations", ones)
    )


def _sums(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> Tensor:
    """Return the sum of each window, without pads."""
    planes = x.reshape(-1, 1, *x.shape[2:])
    ones = torch.ones(1, 1, *kernel, dtype=x.dtype)
    sums = _CONV[len(kernel)](planes, ones, None, strides, 0, dilations)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


OPERATORS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
