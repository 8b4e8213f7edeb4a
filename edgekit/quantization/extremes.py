"""What each channel of a tensor holds: its extremes and its power, streamed over a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.activations import Array
from edgekit.dataset import Sample
from edgekit.graph import Model
from edgekit.quantization.observation import by_channel, split

Doubles = npt.NDArray[np.float64]
_OPERATORS = {"low": "ReduceMin", "high": "ReduceMax", "power": "ReduceMean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What was seen of one tensor, each of shape (channels,).

    Attributes:
        low, high: extremes.
        power: mean square.
    """

    low: Doubles
    high: Doubles
    power: Doubles

    @property
    def peak(self) -> Doubles:
        """The largest magnitude of each channel."""
        return np.maximum(-self.low, self.high)

    def over(self, scales: Doubles) -> Channels:
        """Return what is seen once the channels are divided by `scales`."""
        return Channels(
            low=self.low / scales, high=self.high / scales, power=self.power / scales**2
        )


@dataclass(slots=True, kw_only=True)
class Extremes:
    """What was seen; a reducer of `edgekit.activations.stream`."""

    parts: dict[tuple[str, str], Doubles] = field(default_factory=dict)
    samples: int = 0

    def begin(self, _sample: Sample) -> None:
        """Count a sample."""
        self.samples += 1

    def add(self, name: str, values: Array) -> None:
        """Take one part of what is seen of one sample, shape (channels,)."""
        tensor, part = split(name)
        found = np.asarray(values, np.float64)
        before = self.parts.get((tensor, part))
        if before is not None:
            found = {"low": np.minimum, "high": np.maximum, "power": np.add}[part](before, found)
        self.parts[tensor, part] = found

    def of(self, tensor: str) -> Channels | None:
        """Return what was seen of a tensor; None if it was not looked at."""
        if (tensor, "low") not in self.parts:
            return None
        return Channels(
            low=self.parts[tensor, "low"],
            high=self.parts[tensor, "high"],
            power=self.parts[tensor, "power"] / self.samples,
        )


def watching(model: Model, axes: Mapping[str, int]) -> tuple[Model, Sequence[str]]:
    """Return the model with nodes that yield what `Extremes` takes, and the names of that.

    Args:
        model: with shapes inferred.
        axes: of the channels, by tensor.
    """
    edited = model.editable()
    graph = edited.graph
    values = {value.name: value for node in graph for value in node.outputs}
    names = []
    for tensor, axis in axes.items():
        value = values.get(tensor)
        if value is None or value.shape is None:
            continue
        square = ir.node("Mul", [value, value], name=f"{tensor}:edgekit-square")
        square.outputs[0].name = square.name
        square.outputs[0].shape, square.outputs[0].dtype = value.shape, ir.DataType.FLOAT
        graph.append(square)
        for part, operator in _OPERATORS.items():
            source = square.outputs[0] if part == "power" else value
            node = by_channel(edited, operator, source, axis, (tensor, part))
            graph.append(node)
            names.append(node.outputs[0].name or "")
    return Model(ir=edited, name=model.name), names
