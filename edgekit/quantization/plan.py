"""The target-neutral plan: what could be int8, with which ranges, and what could not and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgekit.candidate import Skip
from edgekit.quantization.grid import QuantizedWeight
from edgekit.quantization.ranges import Range

Kind = Literal[
    "dense",
    "pointwise",
    "depthwise",
    "grouped",
    "stem",
    "transposed",
    "gemm",
    "matmul",
    "attention",
    "add",
    "mul",
    "pool",
    "concat",
]
"""Operator class of a unit. The first six are convolutions: of any kernel, of 1x1, with one or a
few input channels a group, reading at most four channels, and transposed. `matmul` has a weight,
`attention` multiplies two activations."""

CONVOLUTIONS: frozenset[Kind] = frozenset(
    ("dense", "pointwise", "depthwise", "grouped", "stem", "transposed")
)
WEIGHTED: frozenset[Kind] = CONVOLUTIONS | {"gemm", "matmul"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The nodes that a runtime makes one int8 kernel of.

    Tensors and nodes are named by value: a node by its first output.

    Attributes:
        name: the node's own name for people, or its first output's.
        kind: the operator class.
        node: the computing node.
        folded: a Relu or Clip that only reads the node, or None.
        inputs: activations it reads, each to be quantized.
        output: what the unit yields: the folded activation's output if there is one.
        weight: index of the weight among the node's inputs, None without one.
        weight_axis: axis of the weight's output channels.
        macs: multiply-adds of one sample; 0 where there are none or they are unknown.
        channels: output channels of the weight; 0 without one.
    """

    name: str
    kind: Kind
    node: str
    folded: str | None
    inputs: tuple[str, ...]
    output: str
    weight: int | None = None
    weight_axis: int | None = None
    macs: int = 0
    channels: int = 0

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every activation that may get a grid."""
        return (*self.inputs, self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a unit with a weight was fitted to on samples.

    Attributes:
        weight: its integers, and scales one a channel; None for rounding to the nearest.
        bias: float64, shape (channels,), in place of the unit's own; None to keep that.
    """

    weight: QuantizedWeight | None = None
    bias: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationPlan:
    """What could be quantized and how; says nothing about a target's types or placement.

    Attributes:
        ranges: by tensor name.
        means: of each channel of what units with a weight read, float64, shape (channels,), by
            tensor name; they say how far rounding a weight shifts the unit's output.
        units: in topological order.
        skips: operators with weights or multiply-adds that stay float, and why.
        weight_bits: of the integers of weights: 8 or 4.
        fits: by name of a unit; where there is none, weights go to the nearest integer and
            `means` make up for the shift.
    """

    ranges: dict[str, Range]
    means: dict[str, npt.NDArray[np.float64]]
    units: tuple[Unit, ...]
    skips: tuple[Skip, ...]
    weight_bits: int = 8
    fits: dict[str, Fitted] = field(default_factory=dict)

    def macs_of(self, enabled: frozenset[str]) -> int:
        """Return the multiply-adds of the named units."""
        return sum(unit.macs for unit in self.units if unit.name in enabled)
