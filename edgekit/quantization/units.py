"""Finds the units of a graph: what int8 kernels exist for, seen through how weights are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.graph.surgery import constant_of
from edgekit.quantization.plan import CONVOLUTIONS, Kind, Unit

_STEM_CHANNELS = 4
_BIAS = 2
_RECURRENT = frozenset(("GRU", "LSTM", "RNN"))
_FOLDABLE = frozenset(("Relu", "Clip"))
_FLOAT = (None, ir.DataType.FLOAT)

BIASED: frozenset[Kind] = CONVOLUTIONS | {"gemm"}
"""Kinds that have a bias themselves."""

Found = Unit | Skip | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasBehind:
    """The constant that the Add behind a MatMul adds to each of its columns.

    Attributes:
        node: the Add.
        index: of the constant among its inputs.
        shape: of the constant.
    """

    node: ir.Node
    index: int
    shape: tuple[int, ...]


def units_of(graph: ir.Graph) -> tuple[tuple[Unit, ...], tuple[Skip, ...]]:
    """Return the units of `graph` in topological order, and what has no int8 form and why.

    A weight counts as constant whether it is an initializer, a Constant, an Identity of one, or
    the DequantizeLinear of one.
    """
    units: list[Unit] = []
    skips: list[Skip] = []
    taken: set[str] = set()
    for node in graph:
        finder = _FINDERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        found = finder(node) if finder else None
        if isinstance(found, Skip):
            skips.append(found)
        elif found is not None:
            unit = _with_activation(found, node)
            while unit.name in taken:
                unit = replace(unit, name=f"{unit.name}:{unit.node}")
            taken.add(unit.name)
            units.append(unit)
    return tuple(units), tuple(skips)


def weight_of(node: ir.Node, unit: Unit) -> np.ndarray:
    """Return the unit's float weight, in the layout in which the node reads it."""
    assert unit.weight is not None  # noqa: S101  # asked only of units with a weight
    value = node.inputs[unit.weight]
    found = constant_of(value) if value is not None else None
    assert found is not None  # noqa: S101  # a unit has a weight only if it is constant
    return np.asarray(found)


def bias_of(node: ir.Node, unit: Unit) -> np.ndarray | None:
    """Return the float32 bias of a unit with a weight, shape (channels,); None without one.

    That of a MatMul is what the Add behind it adds, see `bias_behind`.
    """
    if unit.kind in BIASED:
        return _constant(node, _BIAS)
    place = bias_behind(node)
    found = None if place is None else _constant(place.node, place.index)
    return None if found is None else found.reshape(-1)


def bias_behind(node: ir.Node) -> BiasBehind | None:
    """Return where a MatMul gets its bias: the Add that alone reads it, of a constant a column."""
    output, columns = node.outputs[0], _constant(node, 1)
    readers = list(output.uses())
    if columns is None or len(readers) != 1 or output.is_graph_output():
        return None
    add = readers[0].node
    index = 1 - readers[0].idx
    added = _constant(add, index) if add.op_type == "Add" else None
    if added is None or added.shape[-1:] != columns.shape[-1:] or added.size != added.shape[-1]:
        return None
    return BiasBehind(node=add, index=index, shape=added.shape)


def name_of(node: ir.Node) -> str:
    """Return what people call the node."""
    return node.name or node.outputs[0].name or node.op_type


def _with_activation(unit: Unit, node: ir.Node) -> Unit:
    out = node.outputs[0]
    uses = list(out.uses())
    if len(uses) != 1 or out.is_graph_output():
        return unit
    user = uses[0].node
    if user.op_type not in _FOLDABLE or uses[0].idx != 0 or user.graph is not node.graph:
        return unit
    if any(bound is not None and constant_of(bound) is None for bound in user.inputs[1:]):
        return unit
    name = user.outputs[0].name or ""
    return replace(unit, folded=name, output=name)


def _convolution(node: ir.Node) -> Found:
    weight = _constant(node, 1)
    if weight is None:
        return Skip(where=name_of(node), reason=f"{node.op_type} with a computed weight")
    if (reason := _not_float(node)) is not None:
        return reason
    if _input(node, _BIAS) is not None and _constant(node, _BIAS) is None:
        return Skip(where=name_of(node), reason=f"{node.op_type} with a computed bias")
    group = node.attributes.get_int("group", 1)
    transposed = node.op_type == "ConvTranspose"
    kind: Kind
    if transposed:
        kind = "transposed"
    elif group > 1:
        kind = "depthwise" if weight.shape[1] == 1 else "grouped"
    elif weight.shape[1] <= _STEM_CHANNELS:
        kind = "stem"
    else:
        kind = "pointwise" if all(k == 1 for k in weight.shape[2:]) else "dense"
    axis = 1 if transposed else 0
    return _unit(
        node,
        kind,
        (0,),
        weight=1,
        weight_axis=axis,
        channels=weight.shape[1] * group if transposed else weight.shape[0],
    )


def _gemm(node: ir.Node) -> Found:
    weight = _constant(node, 1)
    if weight is None:
        return Skip(where=name_of(node), reason="Gemm with a computed weight")
    if (reason := _not_float(node)) is not None:
        return reason
    attributes = node.attributes
    scales = (attributes.get_float("alpha", 1.0), attributes.get_float("beta", 1.0))
    bias = _constant(node, _BIAS)
    axis = 0 if attributes.get_int("transB", 0) else 1
    if attributes.get_int("transA", 0) or scales != (1.0, 1.0):
        return Skip(
            where=name_of(node), reason="Gemm with transA, alpha or beta has no int8 kernel"
        )
    if _input(node, _BIAS) is not None and (bias is None or bias.shape != (weight.shape[axis],)):
        return Skip(where=name_of(node), reason="Gemm whose bias is not one constant a column")
    return _unit(node, "gemm", (0,), weight=1, weight_axis=axis, channels=weight.shape[axis])


def _matmul(node: ir.Node) -> Found:
    weight = _constant(node, 1)
    if (reason := _not_float(node)) is not None:
        return reason
    if _constant(node, 0) is not None:
        return Skip(where=name_of(node), reason="MatMul with its weight on the left")
    if weight is None:
        return _unit(node, "attention", (0, 1))
    if weight.ndim != len(("in", "out")):
        return Skip(where=name_of(node), reason="MatMul with a batch of weights")
    return _unit(node, "matmul", (0,), weight=1, weight_axis=1, channels=weight.shape[1])


def _recurrent(node: ir.Node) -> Found:
    return Skip(
        where=name_of(node), reason=f"{node.op_type} has no static int8 kernel in any runtime here"
    )


def _pairwise(kind: Kind) -> Callable[[ir.Node], Found]:
    def find(node: ir.Node) -> Found:
        if any(value is None or constant_of(value) is not None for value in node.inputs):
            return None
        if any(value is not None and value.dtype not in _FLOAT for value in node.inputs):
            return None
        if kind in ("add", "mul") and node.inputs[0] is node.inputs[1]:
            return None
        return _unit(node, kind, tuple(range(len(node.inputs))))

    return find


_FINDERS: dict[str, Callable[[ir.Node], Found]] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _pairwise("add"),
    "Mul": _pairwise("mul"),
    "Concat": _pairwise("concat"),
    "GlobalAveragePool": _pairwise("pool"),
    "AveragePool": _pairwise("pool"),
    **dict.fromkeys(_RECURRENT, _recurrent),
}


def _unit(node: ir.Node, kind: Kind, reads: tuple[int, ...], **fields: int) -> Unit:
    inputs = (node.inputs[index] for index in reads)
    out = node.outputs[0].name or ""
    return Unit(
        name=name_of(node),
        kind=kind,
        node=out,
        folded=None,
        inputs=tuple(dict.fromkeys(value.name or "" for value in inputs if value is not None)),
        output=out,
        **fields,
    )


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _constant(node: ir.Node, index: int) -> np.ndarray | None:
    value = _input(node, index)
    return None if value is None else constant_of(value)


def _not_float(node: ir.Node) -> Skip | None:
    if all(value is None or value.dtype in _FLOAT for value in node.inputs[:2]):
        return None
    return Skip(where=name_of(node), reason=f"{node.op_type} is not in float32")
