"""What the cause of a unit's noise is found in: its tensors, its weight, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgekit.quantization.grid import QuantizedWeight
from edgekit.quantization.histogram import Histogram
from edgekit.quantization.plan import Unit
from edgekit.quantization.ranges import Range, ends_of

Doubles = npt.NDArray[np.float64]
CauseName = Literal[
    "outlier channel",
    "activation outlier",
    "narrow range",
    "saturation",
    "tiny accumulators",
    "unfused island",
    "8-bit rounding",
]
LEVELS = 255
"""Steps of a grid of 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """What was seen of the channels of a tensor, each of shape (channels,).

    Attributes:
        peak: largest magnitude.
        power: mean square.
    """

    peak: Doubles
    power: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A tensor that has a grid.

    Attributes:
        name: of the tensor.
        writer: name of the unit that writes it; empty for others.
        span: what its grid spans.
        histogram: of its values.
        channels: None where they were not looked at.
        symmetric: its grid spans [-peak, peak].
    """

    name: str
    writer: str
    span: Range
    histogram: Histogram
    channels: ChannelStatistics | None
    symmetric: bool

    @property
    def step(self) -> float:
        """The distance of two levels of its grid."""
        low, high = ends_of(self.span, symmetric=self.symmetric)
        return (high - low) / LEVELS

    @property
    def power(self) -> float:
        """The mean square of its values."""
        values, weights = self.histogram.points()
        total = float(weights.sum())
        return float(np.dot(values * values, weights)) / total if total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a cause is found in.

    Attributes:
        inputs: what the unit reads on a grid, in the order of `Unit.inputs`.
        output: what it writes; None where that has no grid.
        power: mean square of what it writes.
        weight: float, None without one; `integers` is its quantized form.
        alone: no unit beside it is in int8.
    """

    unit: Unit
    inputs: tuple[Seen, ...]
    output: Seen | None
    power: float
    weight: npt.NDArray[np.float32] | None = None
    integers: QuantizedWeight | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What makes a unit's noise.

    Attributes:
        name: the kind of cause.
        why: in one sentence, with the figures.
        culprit: unit that writes the outlier, wherever it is read; empty where no unit does.
        figures: what the sentence rests on, by name.
    """

    name: CauseName
    why: str
    culprit: str = ""
    figures: dict[str, float] = field(default_factory=dict)
