"""Who writes a tensor, seen through the operators that only pass numbers on."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.quantization.histogram import Histogram
from edgekit.quantization.plan import QuantizationPlan, Unit

_SUMS = frozenset(("add", "concat", "pool", "mul"))
_MOVING = frozenset(
    ("Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "DepthToSpace")
)
_PASSING = _MOVING | {"Relu", "Clip", "LeakyRelu", "HardSwish", "Gelu", "MaxPool", "Pad"}
"""Operators that leave the largest of their input's channels the largest."""


class Writers:
    """The units of a plan by what they write and read.

    Attributes:
        nodes: by first output.
        units: names of units by the tensor they write.
    """

    def __init__(
        self, model: Model, plan: QuantizationPlan, histograms: Mapping[str, Histogram]
    ) -> None:
        """Take in a model, its plan, and what was seen of its tensors."""
        self.nodes = {node.outputs[0].name or "": node for node in model.ir.graph if node.outputs}
        self.units = {unit.output: unit.name for unit in plan.units}
        self._kinds = {unit.output: unit for unit in plan.units}
        self._plan, self._histograms = plan, histograms

    def of(self, name: str) -> str:
        """Return the unit whose numbers these are: of a sum, the one that writes its largest."""
        for _ in range(len(self.nodes)):
            unit = self._kinds.get(name)
            if unit is None:
                passed = _passed(self.nodes.get(name))
                if passed is None:
                    return ""
                name = passed
            elif unit.kind in _SUMS:
                name = max(unit.inputs, key=self._peak)
            else:
                return unit.name
        return ""

    def neighbours(self, unit: Unit) -> set[str]:
        """Return the units that share a tensor with one, seen through what only moves data."""
        before = {self.units[name] for name in map(self._moved, unit.inputs) if name in self.units}
        behind = {
            other.name
            for other in self._plan.units
            if unit.output in map(self._moved, other.inputs)
        }
        return (before | behind) - {unit.name}

    def _moved(self, name: str) -> str:
        """Return the tensor that holds the same numbers, furthest up."""
        node = self.nodes.get(name)
        while node is not None and node.op_type in _MOVING and node.inputs[0] is not None:
            name = node.inputs[0].name or ""
            node = self.nodes.get(name)
        return name

    def _peak(self, name: str) -> float:
        histogram = self._histograms[name]
        return max(-histogram.low, histogram.high)


def _passed(node: ir.Node | None) -> str | None:
    """Return the tensor that a node passes on: a bias that is added changes no outlier."""
    if node is None:
        return None
    if node.op_type == "Add":
        varying = [v for v in node.inputs if v is not None and constant_of(v) is None]
        return varying[0].name if len(varying) == 1 else None
    if node.op_type not in _PASSING or node.inputs[0] is None:
        return None
    return node.inputs[0].name
