"""Where a layer of an int8 graph keeps its numbers, to read and to change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph.surgery import constant_of
from edgekit.quantization.grid import QuantizedWeight, quantized_bias
from edgekit.quantization.plan import Fitted
from edgekit.quantization.units import bias_behind

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a layer of the int8 graph keeps its numbers: names of initializers.

    Attributes:
        reads: the activation that it reads.
        bias: None where it has none; with `bias_scales` where it is int32.
    """

    reads: ir.Value
    integers: ir.Value
    scales: ir.Value
    bias: ir.Value | None
    bias_scales: ir.Value | None

    @classmethod
    def of(cls, node: ir.Node) -> Place | None:
        """Return the place of a node whose weight is int8; None when others read it, too."""
        reads, weight = node.inputs[0], node.inputs[1]
        dequantize = None if weight is None else weight.producer()
        if reads is None or dequantize is None or dequantize.op_type != "DequantizeLinear":
            return None
        integers, scales = dequantize.inputs[:2]
        if integers is None or scales is None or len(weight.uses()) > 1:  # type: ignore[union-attr]  # it has a producer
            return None
        bias, bias_scales = _bias_of(node)
        return cls(
            reads=reads, integers=integers, scales=scales, bias=bias, bias_scales=bias_scales
        )

    def take(self, fit: Fitted, before: Doubles) -> None:
        """Write what was fitted into the graph."""
        scales = _array(self.scales)
        if fit.weight is not None:
            _set(self.integers, fit.weight.integers)
            _set(self.scales, fit.weight.scales)
        if self.bias is None:
            return
        bias = before if fit.bias is None else fit.bias
        if self.bias_scales is None:
            _set(self.bias, bias.astype(np.float32).reshape(_array(self.bias).shape))
            return
        product = _array(self.bias_scales)
        if fit.weight is not None:
            product = (product / scales * fit.weight.scales).astype(np.float32)
            _set(self.bias_scales, product)
        _set(self.bias, quantized_bias(bias.astype(np.float32), product))

    def weight(self, axis: int) -> npt.NDArray[np.float32]:
        """Return the weight that the integers stand for; `axis` is that of its outputs."""
        return QuantizedWeight(
            integers=self.integer_values(), scales=self.scale_values(), axis=axis
        ).floats()

    def integer_values(self) -> npt.NDArray[np.int8]:
        """Return the weight's integers."""
        return _array(self.integers)

    def scale_values(self) -> npt.NDArray[np.float32]:
        """Return the weight's scales."""
        return _array(self.scales)

    def bias_values(self, outputs: int) -> Doubles:
        """Return the bias as it counts, shape (outputs,); zeros where there is none."""
        if self.bias is None:
            return np.zeros(outputs)
        bias = _array(self.bias).astype(np.float64).reshape(-1)
        return bias if self.bias_scales is None else bias * _array(self.bias_scales)


def _bias_of(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """Return the initializers of a bias and of its scales; of a MatMul that of the Add behind."""
    if node.op_type == "MatMul":
        place = bias_behind(node)
        return (None if place is None else place.node.inputs[place.index]), None
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004  # the third
    dequantize = None if bias is None else bias.producer()
    if dequantize is None:
        return bias, None
    return dequantize.inputs[0], dequantize.inputs[1]


def _array(value: ir.Value) -> npt.NDArray[Any]:
    found = constant_of(value)
    if found is None:
        raise TypeError(value.name)
    return found


def _set(value: ir.Value, array: npt.NDArray[Any]) -> None:
    value.const_value = ir.tensor(array, name=value.name)
