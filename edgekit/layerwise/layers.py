"""Nodes that compute W x + b of constants W and b, in one form: [outputs, inputs] per group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph.surgery import read_by

Array = npt.NDArray[Any]

_MATRIX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a convolution reads: one entry a spatial axis.

    Attributes:
        pads: (before, after) on each axis; None where `auto_pad` says it.
        auto_pad: `SAME_UPPER` or `SAME_LOWER`; else empty.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...] | None
    auto_pad: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An affine map with constant weights.

    Attributes:
        node: name of the Conv, Gemm or MatMul.
        data: the activation it reads.
        output: what it makes, the bias included: of the Add behind a MatMul, else its own.
        weight: initializer.
        bias: initializer; None where there is none.
        window: of a Conv, whose channels are on axis 1; None for Gemm and MatMul, which read and
            write the last axis.
        outputs: how many there are.
        columns: inputs of one group * kernel.
        groups: of a Conv.
        transposed: the weight is stored as [inputs, outputs].
    """

    node: str
    data: str
    output: str
    weight: str
    bias: str | None
    outputs: int
    columns: int
    window: Window | None = None
    groups: int = 1
    transposed: bool = False

    @property
    def axis(self) -> int:
        """The axis of the output's channels; of the data's, too."""
        return -1 if self.window is None else 1

    def matrix(self, weight: Array) -> Array:
        """Return the stored weight as [outputs, inputs of one group * kernel]."""
        return weight.T if self.transposed else weight.reshape(len(weight), -1)

    def stored(self, matrix: Array, like: Array) -> Array:
        """Return a matrix as the weight is stored, in the shape and type of `like`."""
        weight = matrix.T if self.transposed else matrix.reshape(like.shape)
        return np.ascontiguousarray(weight.astype(like.dtype))


def layers_of(graph: ir.Graph) -> Iterator[Layer]:
    """Yield the graph's affine maps in graph order; nodes that are none of them are left out.

    Covers: 1. Conv, of any rank and grouping; 2. Gemm with alpha and beta of 1 and an untransposed
    A; 3. MatMul by a matrix, with the Add of a constant that alone reads it.
    """
    for node in graph:
        if node.domain not in {"", "ai.onnx"}:
            continue
        layer = _KINDS[node.op_type](node) if node.op_type in _KINDS else None
        if layer is not None:
            yield layer


def computed_inputs(node: ir.Node) -> list[ir.Value]:
    """Return what a node reads that is no constant, inside its subgraphs too."""
    return [value for value in read_by(node) if not value.is_initializer()]


def _convolution(node: ir.Node) -> Layer | None:
    data, weight = node.inputs[0], _initializer(node, 1)
    if weight is None or data is None:
        return None
    kernel = _shape(weight)[2:]
    bias = _initializer(node, 2)
    if len(node.inputs) > _MATRIX and node.inputs[2] is not None and bias is None:
        return None
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    pads = tuple(node.attributes.get_ints("pads", (0,) * 2 * len(kernel)))
    if auto_pad == "VALID":
        pads = (0,) * 2 * len(kernel)
    same = auto_pad if auto_pad.startswith("SAME") else ""
    return Layer(
        node=node.name or "",
        data=data.name or "",
        output=node.outputs[0].name or "",
        weight=weight.name or "",
        bias=None if bias is None else bias.name,
        outputs=_shape(weight)[0],
        columns=math.prod(_shape(weight)[1:]),
        window=Window(
            kernel=kernel,
            strides=tuple(node.attributes.get_ints("strides", (1,) * len(kernel))),
            dilations=tuple(node.attributes.get_ints("dilations", (1,) * len(kernel))),
            pads=None
            if same
            else tuple(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)),
            auto_pad=same,
        ),
        groups=node.attributes.get_int("group", 1),
    )


def _gemm(node: ir.Node) -> Layer | None:
    data, weight = node.inputs[0], _initializer(node, 1)
    attributes = node.attributes
    scaled = attributes.get_float("alpha", 1.0) != 1 or attributes.get_float("beta", 1.0) != 1
    if data is None or weight is None or scaled or attributes.get_int("transA", 0) != 0:
        return None
    transposed = attributes.get_int("transB", 0) == 0
    bias = _initializer(node, 2)
    given = len(node.inputs) > _MATRIX and node.inputs[2] is not None
    if given and (bias is None or not _one_an_output(bias, weight, transposed=transposed)):
        return None
    return Layer(
        node=node.name or "",
        data=data.name or "",
        output=node.outputs[0].name or "",
        weight=weight.name or "",
        bias=None if bias is None else bias.name,
        outputs=_shape(weight)[int(transposed)],
        columns=_shape(weight)[int(not transposed)],
        transposed=transposed,
    )


def _matmul(node: ir.Node) -> Layer | None:
    data, weight = node.inputs[0], _initializer(node, 1)
    if data is None or weight is None or len(_shape(weight)) != _MATRIX:
        return None
    output, bias = node.outputs[0], None
    readers = output.consumers()
    if len(readers) == 1 and readers[0].op_type == "Add" and not output.is_graph_output():
        addends = [_initializer(readers[0], index) for index in range(2)]
        bias = addends[0] or addends[1]
        if bias is not None and _one_an_output(bias, weight, transposed=True):
            output = readers[0].outputs[0]
        else:
            bias = None
    return Layer(
        node=node.name or "",
        data=data.name or "",
        output=output.name or "",
        weight=weight.name or "",
        bias=None if bias is None else bias.name,
        outputs=_shape(weight)[1],
        columns=_shape(weight)[0],
        transposed=True,
    )


def _initializer(node: ir.Node, index: int) -> ir.Value | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    constant = value is not None and value.is_initializer() and value.const_value is not None
    return value if constant else None


def _one_an_output(bias: ir.Value, weight: ir.Value, *, transposed: bool) -> bool:
    """Return whether `bias` has one number for each output, all on its last axis."""
    shape = _shape(bias)
    outputs = _shape(weight)[int(transposed)]
    return bool(shape) and shape[-1] == outputs and all(size == 1 for size in shape[:-1])


def _shape(constant: ir.Value) -> tuple[int, ...]:
    if constant.const_value is None:
        raise TypeError(constant.name)
    return tuple(constant.const_value.shape.numpy())


_KINDS = {"Conv": _convolution, "Gemm": _gemm, "MatMul": _matmul}
