"""Questions that the restrictions of every engine ask of a node."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from edgekit.graph.surgery import constant_of

Restriction = Callable[[ir.Node], str | None]
"""Says why an engine does not take a node of a listed operator; None when it does."""

PLANE = 4
"""Axes of a batch of images: batch, channels, height, width."""


def is_constant(node: ir.Node, index: int) -> bool:
    """Say whether an input is left out, or the same for every sample."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return value is None or constant_of(value) is not None


def rank_of(node: ir.Node, index: int = 0) -> int | None:
    """Return how many axes an input has; None where that is not known."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.shape is None else len(value.shape)


def is_planar(node: ir.Node) -> bool:
    """Say whether the first input may be a batch of images; what is unknown may be."""
    return rank_of(node) in (None, PLANE)


def ints(node: ir.Node, name: str) -> tuple[int, ...]:
    """Return an attribute of integers, empty without one."""
    return tuple(node.attributes.get_ints(name, ()))


def beyond(values: tuple[int, ...], low: int, high: int) -> bool:
    """Say whether any value lies outside of low..high."""
    return any(not low <= value <= high for value in values)
