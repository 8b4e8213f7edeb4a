"""How far a kernel reaches: pads that an attribute spells out or leaves to a rule."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.interpreter.node import Node

Pads = list[tuple[int, int]]
"""Before and after, one pair a spatial axis."""


def pads_of(
    node: Node,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """Return the pads of a convolution or pool over axes of these sizes.

    `SAME` makes ceil(size / stride) outputs; an odd pad goes after with `SAME_UPPER`, before with
    `SAME_LOWER`.
    """
    rule = node.get("auto_pad", "NOTSET")
    if not rule.startswith("SAME"):
        pads = [0] * 2 * len(kernel) if rule == "VALID" else node.get("pads", [0] * 2 * len(kernel))
        return list(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
    found: Pads = []
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (length - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        found.append((small, large) if rule == "SAME_UPPER" else (large, small))
    return found


def flat(pads: Pads) -> list[int]:
    """Return pads as torch takes them: the last axis first."""
    return [amount for pair in reversed(pads) for amount in pair]
