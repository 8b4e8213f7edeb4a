"""Projections, x W + b with constant W and b: found in a graph, and changed in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph.surgery import constant_of

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """x W + b.

    Attributes:
        node: the MatMul or Gemm.
        data: x, whose last axis is summed over.
        weight: W, an initializer of two axes.
        axis: of W's columns: 1, or 0 when it is stored transposed.
        bias: b, an initializer with one number a column, None when there is none.
        output: the result, with bias; columns on the last axis.
    """

    node: ir.Node
    data: ir.Value
    weight: ir.Value
    axis: int
    bias: ir.Value | None
    output: ir.Value

    @property
    def columns(self) -> int:
        """How many columns W has."""
        return int(_array(self.weight).shape[self.axis])


def projection_of(node: ir.Node) -> Projection | None:
    """Return the projection that `node` is the product of; None when it is none."""
    if node.domain not in {"", "ai.onnx"} or node.op_type not in {"MatMul", "Gemm"}:
        return None
    data, weight = node.inputs[0], node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004  # a bias is the third
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    turned = node.attributes.get_int("transA", 0)
    if data is None or weight is None or factors != [1, 1] or turned:
        return None
    if constant_of(data) is not None or not _is_float(weight, 2):
        return None
    if bias is not None and not _is_float(bias, 1):
        return None
    axis = 0 if node.attributes.get_int("transB", 0) else 1
    output = node.outputs[0]
    if node.op_type == "MatMul":
        bias, output = _added(output, int(_array(weight).shape[1]))
    elif bias is not None and _array(bias).shape[0] != _array(weight).shape[axis]:
        return None
    return Projection(node=node, data=data, weight=weight, axis=axis, bias=bias, output=output)


def weights_of(projection: Projection) -> tuple[Reals, Reals | None]:
    """Return W as [summed over, columns], and b; in float64."""
    weight = _array(projection.weight).astype(np.float64)
    bias = None if projection.bias is None else _array(projection.bias).astype(np.float64)
    return weight if projection.axis else weight.T, bias


def set_weights(graph: ir.Graph, projection: Projection, weight: Reals, bias: Reals | None) -> None:
    """Store W, given as [summed over, columns], and b in place, in the type they had.

    A bias that others use, too, is stored in an initializer of its own.
    """
    _store(projection.weight, weight if projection.axis else weight.T)
    old, node = projection.bias, projection.output.producer()
    if old is None or bias is None or node is None:
        return
    if len(old.uses()) == 1:
        _store(old, bias)
        return
    new = ir.Value(name=f"{projection.node.name}.bias", type=old.type, const_value=old.const_value)
    _store(new, bias)
    graph.register_initializer(new)
    node.replace_input_with(tuple(node.inputs).index(old), new)


def is_own(projection: Projection) -> bool:
    """Is W used by this projection alone, as a float32 or wider?"""
    return len(projection.weight.uses()) == 1 and _array(projection.weight).dtype.itemsize >= 4  # noqa: PLR2004  # bytes of a float32


def _store(value: ir.Value, array: Reals) -> None:
    stored = np.ascontiguousarray(array, _array(value).dtype)
    value.const_value = ir.tensor(stored, name=value.name)
    value.shape = ir.Shape(stored.shape)


def _added(product: ir.Value, columns: int) -> tuple[ir.Value | None, ir.Value]:
    """Return the bias that is added to `product` and the sum; no bias and `product` otherwise."""
    uses = tuple(product.uses())
    if len(uses) != 1 or product.is_graph_output() or uses[0].node.op_type != "Add":
        return None, product
    add = uses[0].node
    other = add.inputs[1 - uses[0].idx]
    if other is None or not _is_float(other, 1) or _array(other).shape != (columns,):
        return None, product
    return other, add.outputs[0]


def _is_float(value: ir.Value, rank: int) -> bool:
    if not value.is_initializer() or value.const_value is None or value.is_graph_output():
        return False
    tensor = value.const_value
    return tensor.dtype.is_floating_point() and len(tensor.shape) == rank


def _array(value: ir.Value) -> npt.NDArray[np.floating]:
    if value.const_value is None:
        raise AssertionError
    return value.const_value.numpy()
