"""Channels of inner tensors that may be scaled without a trace, and the scaling itself.

T[:, c] becomes T[:, c] / s[c] when whatever writes T divides by s and whatever reads it multiplies:
the rows and biases of layers before, the columns of layers behind. What stands between must let a
positive factor through (Relu, pooling, sums); a sum ties the channels of its terms together. All
tensors that are tied are one `Scalable`, and any positive s for it leaves the outputs as they are.

Sources: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.1, for layers; Xiao et al. 2023, "SmoothQuant", section 4, for norms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A constant that takes the factors in.

    Attributes:
        node: by its first output.
        index: of the constant among the node's inputs.
        axis: of the channels in it; of a weight's columns, that of one group's.
        groups: of a convolution's columns.
        role: `rows` and `shift` are divided, `columns` multiplied; `shift` is no weight.
        reads: the tensor that columns read.
    """

    node: str
    index: int
    axis: int
    role: Literal["rows", "columns", "shift"]
    groups: int = 1
    reads: str = ""

    def factor(self, scales: Doubles, like: npt.NDArray[np.generic]) -> Doubles:
        """Return what the constant is multiplied by, in a shape that broadcasts to it."""
        if self.role != "columns":
            return _along(1 / scales, self.axis, like.ndim)
        if self.groups == 1:
            return _along(scales, self.axis, like.ndim)
        each = np.repeat(scales.reshape(self.groups, -1), like.shape[0] // self.groups, axis=0)
        return each.reshape(*each.shape, *(1,) * (like.ndim - each.ndim))

    def columns(self, weight: npt.NDArray[np.generic]) -> Doubles:
        """Return a weight as float64, shape (groups, rows, columns, taps)."""
        rest = weight.astype(np.float64)
        if self.axis == 0:
            rest = rest.swapaxes(0, 1)
        rows, columns = rest.shape[:2]
        return rest.reshape(self.groups, rows // self.groups, columns, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalable:
    """Tensors whose channels can be scaled together.

    Attributes:
        tensors: the axis of the channels, by name.
        channels: how many there are.
        ends: what takes the factors in.
    """

    tensors: Mapping[str, int]
    channels: int
    ends: tuple[End, ...]

    @property
    def name(self) -> str:
        """The first tensor's."""
        return next(iter(self.tensors))

    @property
    def readers(self) -> tuple[End, ...]:
        """The weights whose columns read it."""
        return tuple(end for end in self.ends if end.role == "columns")


def scaled(model: Model, factors: Sequence[tuple[Scalable, Doubles]]) -> Model:
    """Return the model with these tensors divided, channel by channel.

    Args:
        model: unchanged.
        factors: positive, shape (channels,).
    """
    edited = model.editable()
    graph = edited.graph
    nodes = {node.outputs[0].name: node for node in graph if node.outputs}
    products: dict[tuple[str, int], Doubles] = {}
    for scalable, scales in factors:
        for end in scalable.ends:
            place = end.node, end.index
            if place not in products:
                products[place] = _constant(nodes[end.node], end.index).astype(np.float64)
            products[place] = products[place] * end.factor(scales, products[place])
    for (name, index), array in products.items():
        _replace(graph, nodes[name], index, array.astype(np.float32))
    return Model(ir=edited, name=model.name)


def weight_at(nodes: Mapping[str, ir.Node], end: End) -> npt.NDArray[np.generic]:
    """Return the constant of an end."""
    return _constant(nodes[end.node], end.index)


def _along(vector: Doubles, axis: int, rank: int) -> Doubles:
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def _constant(node: ir.Node, index: int) -> npt.NDArray[np.generic]:
    value = node.inputs[index]
    found = None if value is None else constant_of(value)
    if found is None:
        raise TypeError(node.name)
    return found


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: npt.NDArray[np.float32]) -> None:
    """Give the node this constant; other readers of the old one keep it."""
    old = node.inputs[index]
    name = (old.name if old is not None else None) or "constant"
    alone = old is not None and len(old.uses()) == 1 and old.is_initializer()
    if alone and old is not None and not old.is_graph_input():
        old.const_value = ir.tensor(array, name=name)
        return
    name = f"{node.outputs[0].name}:scaled-{index}"
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT))
    value.const_value = ir.tensor(array, name=name)
    graph.register_initializer(value)
    node.replace_input_with(index, value)
