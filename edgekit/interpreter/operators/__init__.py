"""What each operator computes: one table, put together of one a kind."""

from __future__ import annotations

from edgekit.interpreter.node import Operator
from edgekit.interpreter.operators import (
    constants,
    convolution,
    elementwise,
    indexing,
    movement,
    normalization,
    pooling,
    products,
    quantization,
    recurrent,
    reductions,
    resizing,
)

__all__ = ["OPERATORS", "RECURRENT"]

OPERATORS: dict[str, Operator] = {
    **constants.OPERATORS,
    **convolution.OPERATORS,
    **elementwise.OPERATORS,
    **indexing.OPERATORS,
    **movement.OPERATORS,
    **normalization.OPERATORS,
    **pooling.OPERATORS,
    **products.OPERATORS,
    **quantization.OPERATORS,
    **recurrent.OPERATORS,
    **reductions.OPERATORS,
    **resizing.OPERATORS,
}
"""By operator: called with a `Node` and its inputs as tensors, returns its outputs."""

RECURRENT = frozenset(recurrent.OPERATORS)
"""Those that read a state of their own."""
