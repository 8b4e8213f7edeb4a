"""Finds which channels of a graph may be scaled without a trace (`scaling.Scalable`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.graph.surgery import constant_of, read_by
from edgekit.quantization.scaling import End, Scalable
from edgekit.quantization.ties import Ties

_FLOAT = ir.DataType.FLOAT
_MATRIX = 2
_CHANNELS = 1
_BIAS = 2


def scalables(graph: ir.Graph) -> tuple[tuple[Scalable, ...], tuple[Skip, ...]]:
    """Return what can be scaled in `graph`, and which tensors that layers write cannot and why.

    Args:
        graph: with shapes inferred.
    """
    walk = Ties()
    for value in graph.outputs:
        walk.pin(value, "it is an output of the graph")
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None:
            rule = _opaque
        rule(walk, node)
    return walk.found()


def _opaque(walk: Ties, node: ir.Node) -> None:
    for value in read_by(node):
        walk.pin(value, f"{node.op_type} does not let factors through")


def _convolution(walk: Ties, node: ir.Node) -> None:
    weight, name = _weight(node), node.outputs[0].name or ""
    groups = node.attributes.get_int("group", 1)
    transposed = node.op_type == "ConvTranspose"
    if weight is None or not _has_constant_bias(node) or (transposed and groups > 1):
        _opaque(walk, node)
        return
    rows, columns = (1, 0) if transposed else (0, 1)
    end = End(node=name, index=1, axis=columns, role="columns", groups=groups, reads=_name(node, 0))
    _read(walk, node, _CHANNELS, end)
    _write(walk, node, _CHANNELS, weight.shape[rows], rows)


def _gemm(walk: Ties, node: ir.Node) -> None:
    weight, name = _weight(node), node.outputs[0].name or ""
    if weight is None or node.attributes.get_int("transA", 0) != 0 or not _has_constant_bias(node):
        _opaque(walk, node)
        return
    rows = 1 - int(node.attributes.get_int("transB", 0))
    end = End(node=name, index=1, axis=1 - rows, role="columns", reads=_name(node, 0))
    _read(walk, node, 1, end)
    _write(walk, node, 1, weight.shape[rows], rows)


def _matmul(walk: Ties, node: ir.Node) -> None:
    weight, rank = _weight(node), _rank(node.inputs[0])
    if weight is None or weight.ndim != _MATRIX or rank is None or rank < _MATRIX:
        _opaque(walk, node)
        return
    name = node.outputs[0].name or ""
    end = End(node=name, index=1, axis=0, role="columns", reads=_name(node, 0))
    _read(walk, node, rank - 1, end)
    _write(walk, node, rank - 1, weight.shape[1], 1)


def _norm(walk: Ties, node: ir.Node) -> None:
    _opaque(walk, node)
    out, rank, scale = node.outputs[0], _rank(node.outputs[0]), _constant(node, 1)
    last = node.op_type == "LayerNormalization"
    if rank is None or scale is None or scale.ndim != 1:
        return
    if last and node.attributes.get_int("axis", -1) not in (-1, rank - 1):
        return
    if not last and node.op_type == "GroupNormalization" and scale.size != _size(out, _CHANNELS):
        return
    ends = [End(node=out.name or "", index=1, axis=0, role="shift")]
    if _input(node, _BIAS) is not None:
        if _constant(node, _BIAS) is None:
            return
        ends.append(End(node=out.name or "", index=_BIAS, axis=0, role="shift"))
    walk.give(out, rank - 1 if last else _CHANNELS, scale.size, ends)


def _homogeneous(walk: Ties, node: ir.Node) -> None:
    source = node.inputs[0]
    apart = "Pool" not in node.op_type or walk.axes.get(source) == _CHANNELS  # type: ignore[arg-type]  # None is in no mapping
    if source in walk.axes and len(node.outputs) == 1 and apart:
        walk.tie(source, node.outputs[0], walk.axes[source])
    else:
        walk.pin(source, f"{node.op_type} of it")


def _reduction(walk: Ties, node: ir.Node) -> None:
    source, rank = node.inputs[0], _rank(node.inputs[0])
    given = _constant(node, 1)
    axes = node.attributes.get_ints("axes") if given is None else given.tolist()
    if source not in walk.axes or rank is None or axes is None:
        _opaque(walk, node)
        return
    axis, reduced = walk.axes[source], sorted(one % rank for one in axes)
    if axis in reduced:
        _opaque(walk, node)
        return
    keeps = node.op_type != "Squeeze" and node.attributes.get_int("keepdims", 1) != 0
    moved = axis if keeps else axis - sum(one < axis for one in reduced)
    walk.tie(source, node.outputs[0], moved)


def _flatten(walk: Ties, node: ir.Node) -> None:
    """Let [N, C, 1, 1] -> [N, C] through, as Flatten or Reshape."""
    source, out = node.inputs[0], node.outputs[0]
    rank, behind = _rank(source), _rank(out)
    alone = source is not None and all(_size(source, axis) == 1 for axis in range(2, rank or 0))
    whole = behind == _MATRIX and _size(out, 1) in (None, walk.counts.get(source, -1))  # type: ignore[arg-type]  # None is in no mapping
    axis_one = node.op_type == "Reshape" or node.attributes.get_int("axis", 1) == 1
    known = node.op_type == "Flatten" or _size(out, 1) is not None
    if walk.axes.get(source) == 1 and rank and alone and whole and axis_one and known:  # type: ignore[arg-type]  # as above
        walk.tie(source, out, 1)  # type: ignore[arg-type]  # as above
    else:
        _opaque(walk, node)


def _transpose(walk: Ties, node: ir.Node) -> None:
    source = node.inputs[0]
    order = node.attributes.get_ints("perm")
    if source in walk.axes and order is not None:
        walk.tie(source, node.outputs[0], list(order).index(walk.axes[source]))
    else:
        _opaque(walk, node)


def _sum(walk: Ties, node: ir.Node) -> None:
    """Tie all terms; a constant term takes the factors in."""
    out, rank = node.outputs[0], _rank(node.outputs[0])
    tracked = [value for value in node.inputs if value in walk.axes]
    if not tracked or rank is None or any(_rank(value) != rank for value in tracked):
        _opaque(walk, node)
        return
    first = tracked[0]
    axis, count = walk.axes[first], walk.counts[first]
    ends = []
    for index, value in enumerate(node.inputs):
        constant = None if value is None else constant_of(value)
        if constant is not None:
            place = axis - rank + constant.ndim
            if place < 0 or constant.shape[place] != count or node.op_type != "Add":
                _opaque(walk, node)
                return
            ends.append(End(node=out.name or "", index=index, axis=place, role="shift"))
        elif value not in walk.axes:
            _opaque(walk, node)
            return
    walk.give(out, axis, count, ends)
    for value in tracked:
        walk.tie(value, out, axis)


def _product(walk: Ties, node: ir.Node) -> None:
    """Let the factors of one operand through; a constant for each channel can take factors in."""
    out, rank = node.outputs[0], _rank(node.outputs[0])
    tracked = [value for value in node.inputs if value in walk.axes and _rank(value) == rank]
    constants = [None if value is None else constant_of(value) for value in node.inputs]
    if node.op_type == "Div" and node.inputs[0] not in tracked:
        _opaque(walk, node)
    elif tracked:
        for value in node.inputs:
            if value is not tracked[0]:
                walk.pin(value, f"{node.op_type} by it")
        if node.inputs[0] is node.inputs[1]:
            _opaque(walk, node)
            return
        walk.tie(tracked[0], out, walk.axes[tracked[0]])
    else:
        _opaque(walk, node)
        for index, constant in enumerate(constants):
            if constant is not None and constant.ndim == 1 and constant.size > 1 and rank:
                end = End(node=out.name or "", index=index, axis=0, role="shift")
                walk.give(out, rank - 1, constant.size, [end])


_RULES: dict[str, Callable[[Ties, ir.Node], None]] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolution),
    "Gemm": _gemm,
    "MatMul": _matmul,
    **dict.fromkeys(
        (
            "LayerNormalization",
            "GroupNormalization",
            "InstanceNormalization",
            "BatchNormalization",
            "RMSNormalization",
            "SimplifiedLayerNormalization",
        ),
        _norm,
    ),
    **dict.fromkeys(
        (
            "Relu",
            "LeakyRelu",
            "PRelu",
            "Identity",
            "MaxPool",
            "AveragePool",
            "GlobalAveragePool",
            "GlobalMaxPool",
        ),
        _homogeneous,
    ),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "Squeeze"), _reduction),
    **dict.fromkeys(("Flatten", "Reshape"), _flatten),
    "Transpose": _transpose,
    **dict.fromkeys(("Shape", "Size"), lambda _walk, _node: None),
    **dict.fromkeys(("Add", "Sub", "Sum", "Max", "Min"), _sum),
    **dict.fromkeys(("Mul", "Div"), _product),
}


def _read(walk: Ties, node: ir.Node, axis: int, end: End) -> None:
    value = node.inputs[0]
    if value is not None:
        walk.read(value, axis, end)


def _write(walk: Ties, node: ir.Node, axis: int, count: int, rows: int) -> None:
    out = node.outputs[0]
    ends = [End(node=out.name or "", index=1, axis=rows, role="rows")]
    bias = _constant(node, _BIAS) if node.op_type != "MatMul" else None
    if bias is not None:
        last = bias.ndim - 1
        ends.append(End(node=out.name or "", index=_BIAS, axis=last, role="shift"))
    walk.give(out, axis, count, ends)


def _weight(node: ir.Node) -> npt.NDArray[Any] | None:
    """Return the node's constant weight; None also where other nodes read it, too."""
    value = _input(node, 1)
    if value is None or len(value.uses()) > 1 or value.dtype not in (None, _FLOAT):
        return None
    return constant_of(value)


def _has_constant_bias(node: ir.Node) -> bool:
    """Say whether a bias is one constant an output, or there is none."""
    if _input(node, _BIAS) is None:
        return True
    bias, weight = _constant(node, _BIAS), _weight(node)
    return bias is not None and weight is not None and bias.size in weight.shape and bias.size > 1


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _constant(node: ir.Node, index: int) -> npt.NDArray[Any] | None:
    value = _input(node, index)
    return None if value is None else constant_of(value)


def _name(node: ir.Node, index: int) -> str:
    value = _input(node, index)
    return (value.name or "") if value is not None else ""


def _rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else len(value.shape)


def _size(value: ir.Value | None, axis: int) -> int | None:
    if value is None or value.shape is None or axis >= len(value.shape):
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None
