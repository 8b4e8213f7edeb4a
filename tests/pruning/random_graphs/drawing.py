"""A graph that grows by drawn decisions, valid at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

MOST_CHANNELS = 24
"""Operators that multiply channels refrain beyond this."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A float value of the graph; `shape` leaves the batch axis out.

    Three kinds, told by rank: maps (C, H, W), sequences (T, C), vectors (C,).
    """

    name: str
    shape: tuple[int, ...]

    @property
    def axis(self) -> int:
        """The channel axis, batch counted."""
        return 2 if len(self.shape) == 2 else 1

    @property
    def channels(self) -> int:
        return self.shape[self.axis - 1]

    def with_channels(self, channels: int) -> tuple[int, ...]:
        return (*self.shape[: self.axis - 1], channels, *self.shape[self.axis :])


class Drawing:
    """The graph so far, and the decisions to come.

    An operator picks features (`feature_map`, `sequence`, `vector`, `feature`), appends nodes and
    weights, and offers what it made with `add`. A node's name begins with its operator's.
    """

    def __init__(self, decisions: bytes) -> None:
        self._decisions = iter(decisions)
        self.operator = "start"
        self.nodes: list[Any] = []
        self.weights: list[TensorProto] = []
        self.features: list[Feature] = []
        self.opset = self.one_of(17, 18, 21)
        self._random = np.random.default_rng(self.integer(0, 99))
        self._count = 0

    # Decisions, a byte each; the first option is the simplest, where a failing example shrinks to.

    def integer(self, low: int, high: int) -> int:
        return low + next(self._decisions, 0) % (high - low + 1)

    def one_of(self, *options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def yes(self) -> bool:
        return self.integer(0, 1) == 1

    def seldom(self) -> bool:
        return self.integer(0, 9) == 9

    # Nodes and constants.

    def name(self, what: str) -> str:
        self._count += 1
        return f"{self.operator}.{what}.{self._count}"

    def nodes_of(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> Any:
        """Append a node and return the names of its `count` outputs."""
        name = self.name(op_type)
        outputs = [f"{name}.{number}" for number in range(count)]
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name, **attributes))
        return outputs

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        return self.nodes_of(op_type, inputs, 1, **attributes)[0]

    def constant(self, array: Any, dtype: str = "i8") -> str:
        """Return an initializer, of int64 unless said otherwise."""
        name = self.name("constant")
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weight(self, *shape: int, fan_in: int = 1, mean: float = 0.0) -> str:
        """Return a random constant from N(mean, 1 / fan_in), stored in one of four ways."""
        array = mean + self._random.standard_normal(shape).astype("f4") / np.sqrt(fan_in)
        if not self.seldom():
            return self.constant(array, "f4")
        form = self.one_of("Constant", "Identity", "DequantizeLinear")
        if form == "Constant":
            tensor = numpy_helper.from_array(array.astype("f4"))
            return self.node("Constant", value=tensor)
        if form == "Identity":
            return self.node("Identity", self.constant(array, "f4"))
        integers = self.constant(np.clip(np.round(array * 40), -127, 127), "i1")
        return self.node("DequantizeLinear", integers, self.constant(1 / 40, "f4"))

    # Features.

    def add(self, name: str, *shape: int) -> Feature:
        """Offer a value to the operators to come."""
        self.features.append(Feature(name, shape))
        return self.features[-1]

    def feature(self, *, rank: int | None = None) -> Feature:
        """Pick a feature; the newest is the simplest choice."""
        found = [f for f in self.features if rank is None or len(f.shape) == rank]
        return found[-1 - self.integer(0, len(found) - 1)]

    def feature_map(self) -> Feature:
        """Pick a map; made from a sequence where there is none."""
        if all(len(f.shape) != 3 for f in self.features):
            t, c = (x := self.feature(rank=2)).shape
            turned = self.node("Transpose", x.name, perm=[0, 2, 1])
            return self.add(self.reshape(turned, c, t, 1), c, t, 1)
        return self.feature(rank=3)

    def sequence(self) -> Feature:
        """Pick a sequence; made from a map where there is none."""
        if all(len(f.shape) != 2 for f in self.features):
            c, h, w = (x := self.feature(rank=3)).shape
            flat = self.reshape(x.name, c, h * w)
            return self.add(self.node("Transpose", flat, perm=[0, 2, 1]), h * w, c)
        return self.feature(rank=2)

    def vector(self) -> Feature:
        """Pick a vector; made by pooling where there is none."""
        if all(len(f.shape) != 1 for f in self.features):
            x = self.feature_map()
            pooled = self.node("GlobalAveragePool", x.name)
            return self.add(self.node("Flatten", pooled, axis=1), x.channels)
        return self.feature(rank=1)

    def twin(self, x: Feature) -> str:
        """Return another value of the same shape, an old one where there is one."""
        same = [f.name for f in self.features if f.shape == x.shape and f != x]
        if same and self.yes():
            return same[-1 - self.integer(0, len(same) - 1)]
        return self.mixed(x, x.channels).name

    # What many operators are made of.

    def mixed(self, x: Feature, channels: int) -> Feature:
        """Return a linear combination of the channels: 1x1 Conv, MatMul or Gemm."""
        fan_in = x.channels
        if x.axis == 1 and len(x.shape) == 3:
            weight = self.weight(channels, fan_in, 1, 1, fan_in=fan_in)
            made = self.node("Conv", x.name, weight, self.weight(channels))
        elif len(x.shape) == 2:
            made = self.node("MatMul", x.name, self.weight(fan_in, channels, fan_in=fan_in))
        else:
            weight = self.weight(channels, fan_in, fan_in=fan_in)
            made = self.node("Gemm", x.name, weight, self.weight(channels), transB=1)
        return Feature(made, x.with_channels(channels))

    def reshape(self, name: str, *dims: int) -> str:
        """Reshape to [N, *dims]; batch is told by 0, by -1 or computed, as exporters do."""
        how = self.one_of("zero", "rest", "computed")
        if how == "zero":
            target = self.constant([0, *dims])
        elif how == "rest":
            target = self.constant([-1, *dims])
        else:
            target = self.node("Concat", self.batch_of(name), self.constant(dims), axis=0)
        return self.node("Reshape", name, target)

    def batch_of(self, name: str) -> str:
        """Return the batch size as a tensor of one element."""
        shape = self.node("Shape", name)
        return self.node("Slice", shape, self.constant([0]), self.constant([1]))

    def reduce(self, op_type: str, name: str, axes: Sequence[int], *, keepdims: int = 1) -> str:
        """Reduce over `axes`, which became an input in opset 18 (13 for ReduceSum)."""
        if op_type == "ReduceSum" or self.opset >= 18:
            return self.node(op_type, name, self.constant(axes), keepdims=keepdims)
        return self.node(op_type, name, axes=list(axes), keepdims=keepdims)

    # The end.

    def model(self, inputs: Sequence[Feature], outputs: Sequence[Feature]) -> ModelProto:
        """Return the graph; dead nodes stay, as in files that people have."""

        def typed(features: Sequence[Feature]) -> list[Any]:
            return [
                helper.make_tensor_value_info(f.name, TensorProto.FLOAT, ["N", *f.shape])
                for f in features
            ]

        ends = {f.name for f in (*inputs, *outputs)}
        between = [f for f in self.features if f.name not in ends]
        graph = helper.make_graph(
            self.nodes,
            "random",
            typed(inputs),
            typed(outputs),
            self.weights,
            value_info=typed(between) if self.yes() else [],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10
        )
