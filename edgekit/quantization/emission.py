"""Writes a plan into a graph as QuantizeLinear/DequantizeLinear pairs, in a target's form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph import Model
from edgekit.quantization.grid import (
    Grid,
    QuantizedWeight,
    grid_of,
    quantized_bias,
    quantized_weight,
    scales_needed,
)
from edgekit.quantization.plan import CONVOLUTIONS, WEIGHTED, Fitted, QuantizationPlan, Unit
from edgekit.quantization.planning import clip_bounds
from edgekit.quantization.units import BIASED, bias_behind, bias_of, weight_of
from edgekit.target import Target

_FLOAT_OUTPUT = frozenset(("gemm", "matmul", "attention"))
"""onnxruntime has kernels from int8 to float for these, so their output needs no grid."""
Floats = npt.NDArray[np.float32]
_BIAS = 2
_ROUNDING = 1e-5


def emit(model: Model, plan: QuantizationPlan, target: Target, enabled: frozenset[str]) -> Model:
    """Return `model` with the units named in `enabled` quantized as `target` wants them.

    Args:
        model: the float graph; it is not changed.
        plan: made of `model`, or of a model with the same tensor names.
        target: decides integer types, symmetry, bias and placement.
        enabled: names of units; all others stay float.

    Raises:
        ModelError: the model's opset is below what the target's form needs.
    """
    if model.opset < target.quantized.min_opset:
        raise ModelError(
            "the opset is too old for quantization",
            where=model.name,
            found=str(model.opset),
            expected=f">= {target.quantized.min_opset}",
            remedy="convert it first: the simplify pass does",
        )
    writer = _Writer(model.editable(), plan, target, enabled)
    return Model(ir=writer.written(), name=model.name)


def quantized_tensors(
    plan: QuantizationPlan, target: Target, enabled: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return (tensors with a grid, those among them that an int8 kernel writes)."""
    units = [unit for unit in plan.units if unit.name in enabled]
    read = frozenset(name for unit in units for name in unit.inputs)
    if target.runtimes[0] == "tensorrt":
        return read, frozenset()
    written = frozenset(
        unit.output for unit in units if unit.kind not in _FLOAT_OUTPUT or unit.output in read
    )
    return read | written, written


class _Writer:
    def __init__(
        self, model: ir.Model, plan: QuantizationPlan, target: Target, enabled: frozenset[str]
    ) -> None:
        self._model, self._graph, self._target = model, model.graph, target
        self._form = target.quantized
        self._units = [unit for unit in plan.units if unit.name in enabled]
        tensors, self._written = quantized_tensors(plan, target, enabled)
        self._grids = {name: grid_of(plan.ranges[name], self._form) for name in sorted(tensors)}
        self._nodes = {n.outputs[0].name or "": n for n in self._graph if n.outputs}
        self._kernels = {self._nodes[unit.node] for unit in self._units}
        self._means = plan.means
        self._bits = plan.weight_bits
        self._fits = plan.fits if target.quantized.per_channel_weights else {}
        self._weights: dict[tuple[object, ...], ir.Value] = {}

    def written(self) -> ir.Model:
        for unit in self._units:
            if unit.kind in WEIGHTED:
                self._quantize_weight(unit, self._nodes[unit.node])
        for unit in self._units:
            self._fold(unit)
        values = {value.name or "": value for value in self._graph.inputs}
        values.update((v.name or "", v) for node in self._graph for v in node.outputs)
        for name in sorted(self._grids):
            self._quantize_activation(values[name], self._grids[name])
        self._drop_unused_initializers()
        return self._model

    def _quantize_weight(self, unit: Unit, node: ir.Node) -> None:
        """Give the node an int8 weight, and a bias that makes up for what rounding shifts."""
        bias = bias_of(node, unit)
        scale = self._grids[unit.inputs[0]].scale
        int32_bias = unit.kind in BIASED and self._form.bias == "int32"
        found, bias = self._fitted(unit, node, bias, scale if int32_bias else None)
        self._dequantized_input(
            unit,
            node,
            unit.weight or 0,
            integers=found.integers,
            scales=found.scales,
            axis=found.axis,
        )
        if bias is None:
            return
        if int32_bias:
            product = np.atleast_1d(found.scales * scale).astype(np.float32)
            integers = quantized_bias(bias, product)
            self._dequantized_input(unit, node, _BIAS, integers=integers, scales=product, axis=0)
        elif unit.kind in BIASED:
            self._set_input(node, _BIAS, self._initializer(f"{unit.node}_bias", bias))
        elif (place := bias_behind(node)) is not None and unit.name in self._fits:
            value = self._initializer(f"{unit.node}_bias", bias.reshape(place.shape))
            self._set_input(place.node, place.index, value)

    def _fitted(
        self, unit: Unit, node: ir.Node, bias: Floats | None, scale: np.float32 | None
    ) -> tuple[QuantizedWeight, Floats | None]:
        """Return the weight's integers, and the bias to go with them.

        Args:
            unit: has a weight.
            node: of the unit.
            bias: its own; None without one.
            scale: of the unit's input where the bias is to be int32.
        """
        weight = np.asarray(weight_of(node, unit), dtype=np.float32)
        fit = self._fits.get(unit.name, Fitted())
        if fit.bias is not None:
            bias = fit.bias.astype(np.float32)
        nearest = quantized_weight(
            weight,
            unit.weight_axis or 0,
            per_channel=self._form.per_channel_weights,
            bits=self._bits,
            bias=bias if scale is not None else None,
            input_scale=scale,
        )
        found = nearest if fit.weight is None else fit.weight
        if scale is not None and bias is not None and fit.weight is not None:
            fits_int32 = np.all(found.scales >= scales_needed(bias, scale))
            found = found if fits_int32 else nearest
        mean = self._means.get(unit.inputs[0])
        if fit.bias is None and unit.kind in BIASED and mean is not None:
            shift = found.shift(weight, mean, grouped=unit.kind in CONVOLUTIONS)
            bias = (shift if bias is None else bias + shift).astype(np.float32)
        return found, bias

    def _dequantized_input(
        self,
        unit: Unit,
        node: ir.Node,
        index: int,
        *,
        integers: npt.NDArray[np.integer[Any]],
        scales: npt.NDArray[np.float32],
        axis: int,
    ) -> None:
        """Make the node read these integers; units that share a weight share them."""
        source = node.inputs[index] if index < len(node.inputs) else None
        key = (source, axis, integers.tobytes(), scales.tobytes())
        if source is None or key not in self._weights:
            name = f"{unit.node}_{'bias' if index == _BIAS else 'weight'}"
            self._weights[key] = self._dequantized(name, integers, scales, axis)
        self._set_input(node, index, self._weights[key])

    def _set_input(self, node: ir.Node, index: int, value: ir.Value) -> None:
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, value)

    def _fold(self, unit: Unit) -> None:
        """Drop a Relu or Clip that the grid of its output implies."""
        if unit.folded is None or unit.output not in self._written:
            return
        node = self._nodes[unit.folded]
        low, high = clip_bounds(node)
        lowest, highest = self._grids[unit.output].span
        slack = (highest - lowest) * _ROUNDING
        if lowest < low - slack or highest > high + slack:
            return
        source, out = node.inputs[0], node.outputs[0]
        if source is None:
            return
        out_name = out.name
        out.replace_all_uses_with(source, replace_graph_outputs=True)
        self._graph.remove(node, safe=True)
        source.name = out_name

    def _quantize_activation(self, value: ir.Value, grid: Grid) -> None:
        name = value.name or ""
        readers = list(value.uses())
        scale = self._initializer(f"{name}_scale", np.asarray(grid.scale))
        zero_point = self._initializer(f"{name}_zero_point", np.asarray(grid.zero_point))
        quantize = ir.node("QuantizeLinear", [value, scale, zero_point], name=f"{name}_quantize")
        quantize.outputs[0].name = f"{name}_quantized"
        dequantize = ir.node(
            "DequantizeLinear",
            [quantize.outputs[0], scale, zero_point],
            name=f"{name}_dequantize",
        )
        result = dequantize.outputs[0]
        result.name, result.dtype = f"{name}_dequantized", ir.DataType.FLOAT
        result.shape = value.shape
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], [quantize, dequantize])
        else:
            self._graph.insert_after(producer, [quantize, dequantize])
        everywhere = name in self._written
        for use in readers:
            if everywhere or use.node in self._kernels:
                use.node.replace_input_with(use.idx, result)
        if everywhere and value.is_graph_output():
            self._graph.outputs[self._graph.outputs.index(value)] = result
            value.name, result.name = f"{name}_float", name

    def _dequantized(
        self,
        name: str,
        integers: npt.NDArray[np.integer[Any]],
        scales: npt.NDArray[np.float32],
        axis: int,
    ) -> ir.Value:
        zeros = np.zeros(scales.shape, integers.dtype)
        node = ir.node(
            "DequantizeLinear",
            [
                self._initializer(f"{name}_quantized", integers),
                self._initializer(f"{name}_scale", scales),
                self._initializer(f"{name}_zero_point", zeros),
            ],
            attributes={"axis": axis} if scales.ndim else None,
            name=f"{name}_dequantize",
        )
        result = node.outputs[0]
        result.name, result.dtype = f"{name}_dequantized", ir.DataType.FLOAT
        result.shape = ir.Shape(integers.shape)
        self._graph.insert_before(self._graph[0], node)
        return result

    def _initializer(self, name: str, array: np.ndarray) -> ir.Value:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        value.const_value = tensor
        self._graph.register_initializer(value)
        return value

    def _drop_unused_initializers(self) -> None:
        inputs = {value.name for value in self._graph.inputs}
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and not value.is_graph_output() and name not in inputs:
                del self._graph.initializers[name]
