"""Convolutions, forth and back."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.operators.windows import flat, pads_of
from edgekit.interpreter.values import ints

_F = torch.nn.functional
_CONV = {1: _F.conv1d, 2: _F.conv2d, 3: _F.conv3d}
_TRANSPOSED = {1: _F.conv_transpose1d, 2: _F.conv_transpose2d, 3: _F.conv_transpose3d}


def conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Any grouping and padding over one to three axes."""
    kernel = weight.shape[2:]
    if len(kernel) not in _CONV:
        raise node.refusal("this many axes", str(len(kernel)))
    strides = node.get("strides", [1] * len(kernel))
    dilations = node.get("dilations", [1] * len(kernel))
    pads = pads_of(node, x.shape[2:], kernel, strides, dilations)
    padding: list[int] | int = [before for before, _ in pads]
    if any(before != after for before, after in pads):
        x, padding = _F.pad(x, flat(pads)), 0
    run = _CONV[len(kernel)]
    return run(x, weight, bias, strides, padding, dilations, node.get("group", 1))


def conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Pads cut what the whole would make; `output_shape` says how much is left."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    if rank not in _TRANSPOSED:
        raise node.refusal("this many axes", str(rank))
    strides = node.get("strides", [1] * rank)
    dilations = node.get("dilations", [1] * rank)
    extra = node.get("output_padding", [0] * rank)
    group = node.get("group", 1)
    whole = _TRANSPOSED[rank](x, weight, None, strides, 0, 0, group, dilations)
    whole = _F.pad(whole, flat([(0, more) for more in extra]))
    pads = _cut(node, list(x.shape[2:]), strides, list(whole.shape[2:]))
    index: list[slice] = [slice(None), slice(None)]
    for (before, after), length in zip(pads, whole.shape[2:], strict=True):
        index.append(slice(before, length - after))
    made = _F.pad(whole, flat([(0, max(-after, 0)) for _, after in pads]))[tuple(index)]
    return made if bias is None else made + bias.reshape(-1, *[1] * rank)


def _cut(
    node: Node, sizes: list[int], strides: list[int], lengths: list[int]
) -> list[tuple[int, int]]:
    rule, shape = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if shape is None and not rule.startswith("SAME"):
        pads = node.get("pads", [0] * 2 * len(sizes))
        return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
    wanted = shape or [size * stride for size, stride in zip(sizes, strides, strict=True)]
    found = []
    for length, left in zip(lengths, wanted[-len(sizes) :], strict=True):
        total = length - left
        half = max(total, 0) // 2
        upper = rule == "SAME_UPPER" or total < 0
        found.append((half, total - half) if upper else (total - half, half))
    return found


def col2im(node: Node, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    """Columns are added up where blocks overlap."""
    sizes, kernel = ints(image), ints(block)
    rank = len(sizes)
    strides = node.get("strides", [1] * rank)
    dilations = node.get("dilations", [1] * rank)
    pads = node.get("pads", [0] * 2 * rank)
    pairs = list(zip(pads[:rank], pads[rank:], strict=True))
    padded = [size + sum(pair) for size, pair in zip(sizes, pairs, strict=True)]
    counts = [
        (size - (length - 1) * dilation - 1) // stride + 1
        for size, length, dilation, stride in zip(padded, kernel, dilations, strides, strict=True)
    ]
    parts = x.reshape(len(x), -1, *kernel, *counts)
    whole = x.new_zeros(len(x), parts.shape[1], *padded)
    for place in product(*map(range, kernel)):
        index = [slice(None), slice(None)]
        for at, dilation, stride, count in zip(place, dilations, strides, counts, strict=True):
            index.append(slice(at * dilation, at * dilation + stride * (count - 1) + 1, stride))
        added = torch.zeros_like(whole)
        added[tuple(index)] = parts[(slice(None), slice(None), *place)]
        whole = whole + added
    index = [slice(None), slice(None)]
    index += [slice(before, size + before) for (before, _), size in zip(pairs, sizes, strict=True)]
    return whole[tuple(index)]


OPERATORS: dict[str, Operator] = {
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
}
