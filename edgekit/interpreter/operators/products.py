"""Products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator


def matmul(_: Node, a: Tensor, b: Tensor) -> Tensor:
    """As numpy's."""
    return torch.matmul(a, b)


def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """A B, scaled by alpha, and C, scaled by beta."""
    left = a.T if node.get("transA", 0) else a
    right = b.T if node.get("transB", 0) else b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    made = left @ right
    if alpha != 1:
        made = made * alpha
    if c is None:
        return made
    return made + (c if beta == 1 else c * beta)


def einsum(node: Node, *inputs: Tensor) -> Tensor:
    """Any number of operands."""
    return torch.einsum(node.get("equation").replace(" ", ""), *inputs)


def det(_: Node, x: Tensor) -> Tensor:
    """Of each matrix."""
    return torch.linalg.det(x)


OPERATORS: dict[str, Operator] = {
    "Det": det,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
}
