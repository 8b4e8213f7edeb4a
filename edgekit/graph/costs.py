"""What one inference costs: parameters, multiply-adds, bytes, and activation memory."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from edgekit import native
from edgekit.graph.macs import macs_of
from edgekit.graph.model import Model
from edgekit.graph.save import save
from edgekit.graph.shapes import concrete_shape, infer_shapes
from edgekit.graph.surgery import constant_of, read_by
from edgekit.graph.trial import observe

_INDEX_TYPES = {ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.STRING}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What one node of the main graph costs.

    Attributes:
        parameters: elements of the weights that this node is the first to use; index tensors
            such as a Reshape's target do not count.
        macs: multiply-adds of convolutions, matrix products and recurrent cells; 0 for the rest.
        weight_bytes: of all constants that this node is the first to use, as stored.
        output_bytes: of its outputs.
        output_shape: of its first output.
    """

    name: str
    op_type: str
    parameters: int
    macs: int
    weight_bytes: int
    output_bytes: int
    output_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one inference costs.

    Attributes:
        nodes: in graph order; constants are not among them.
        bytes: of all weights, and of all activations written once.
        peak_activation_bytes: most bytes of activations alive at one time when each is freed
            after its last use and none is written in place.
    """

    nodes: tuple[NodeCost, ...]
    parameters: int
    macs: int
    bytes: int
    peak_activation_bytes: int


def costs(model: Model, shapes: dict[str, tuple[int, ...]]) -> Costs:
    """Return what one inference of `model` costs at these input shapes.

    Shapes that inference cannot tell are read off one run of the model in a native child. Nodes
    in the branches of If and the bodies of loops are not counted.

    Args:
        model: unchanged.
        shapes: of every input that has a dynamic axis.

    Raises:
        ModelError: the model does not run at these shapes.
    """
    graph = infer_shapes(_inlined(model), shapes)
    sizes = _sizes(graph, shapes)
    seen: set[ir.Value] = set()
    nodes = []
    for node in graph.ir.graph:
        if all(constant_of(output) is not None for output in node.outputs):
            continue
        parameters, weight_bytes = _weights(node, seen)
        nodes.append(
            NodeCost(
                name=node.name or "",
                op_type=node.op_type,
                parameters=parameters,
                macs=macs_of(node, sizes.shape),
                weight_bytes=weight_bytes,
                output_bytes=sum(sizes.bytes(output) for output in node.outputs),
                output_shape=sizes.shape(node.outputs[0]) or (),
            )
        )
    return Costs(
        nodes=tuple(nodes),
        parameters=sum(node.parameters for node in nodes),
        macs=sum(node.macs for node in nodes),
        bytes=sum(node.weight_bytes + node.output_bytes for node in nodes),
        peak_activation_bytes=_peak(graph.ir.graph, sizes),
    )


def concrete_shapes(model: Model, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every value of the main graph at these input shapes, by name.

    Shapes that inference cannot tell are read off one run of the model in a native child.

    Raises:
        ModelError: the model does not run at these shapes.
    """
    sizes = _sizes(infer_shapes(model, shapes), shapes)
    values = [*model.ir.graph.inputs, *model.ir.graph.initializers.values()]
    values += [value for node in model.ir.graph for value in node.outputs]
    found = {value.name or "": sizes.shape(value) for value in values}
    return {name: shape for name, shape in found.items() if name and shape is not None}


class _Sizes:
    """Concrete shapes of all values, by name."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def shape(self, value: ir.Value | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        if value.is_initializer() and value.const_value is not None:
            return tuple(value.const_value.shape.numpy())
        return self._shapes.get(value.name or "")

    def bytes(self, value: ir.Value) -> int:
        shape = self.shape(value)
        if shape is None or value.dtype is None or value.dtype == ir.DataType.STRING:
            return 0
        return math.ceil(math.prod(shape) * value.dtype.bitwidth / 8)


def _sizes(model: Model, shapes: dict[str, tuple[int, ...]]) -> _Sizes:
    known: dict[str, tuple[int, ...]] = {}
    unknown: dict[str, ir.Value] = {}
    values = [*model.ir.graph.inputs, *(v for node in model.ir.graph for v in node.outputs)]
    for value in values:
        shape = concrete_shape(value)
        constant = constant_of(value) if shape is None else None
        if constant is not None:
            shape = constant.shape
        if shape is None or value.dtype is None:
            if value.name and not value.is_initializer() and not value.is_graph_input():
                unknown[value.name] = value
        elif value.name:
            known[value.name] = shape
    if unknown:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            file = Path(folder) / "model.onnx"
            save(model, file)
            observed = native.call("measuring shapes", observe, file, tuple(unknown), shapes)
        for name, (shape, dtype) in observed.items():
            known[name] = shape
            unknown[name].dtype = ir.DataType.from_numpy(np.dtype(dtype))
    return _Sizes(known)


def _inlined(model: Model) -> Model:
    if not model.ir.functions:
        return model
    return Model(ir=InlinePass()(model.editable()).model, name=model.name)


def _weights(node: ir.Node, seen: set[ir.Value]) -> tuple[int, int]:
    """Return parameters and bytes of the constants that `node` is the first to use."""
    parameters = size = 0
    for value in node.inputs:
        source = _source(value)
        if source is None or source in seen:
            continue
        seen.add(source)
        tensor = source.const_value
        array = constant_of(source) if tensor is None else None
        if tensor is not None:
            size += tensor.nbytes
            parameters += tensor.size if tensor.dtype not in _INDEX_TYPES else 0
        elif array is not None:
            size += array.nbytes
            parameters += array.size if array.dtype.kind == "f" else 0
    return parameters, size


def _source(value: ir.Value | None) -> ir.Value | None:
    """Return the initializer or Constant output behind `value`, else None.

    Looks through Identity and DequantizeLinear: a quantized weight costs what is stored.
    """
    while value is not None and not value.is_initializer():
        node = value.producer()
        if node is None or node.op_type not in {"Identity", "Constant", "DequantizeLinear"}:
            return None
        if node.op_type == "Constant":
            return value
        value = node.inputs[0]
    return value


def _peak(graph: ir.Graph, sizes: _Sizes) -> int:
    nodes = list(graph)
    last: dict[ir.Value, int] = {}
    for index, node in enumerate(nodes):
        last.update((value, index) for value in read_by(node))
    last.update((value, len(nodes)) for value in graph.outputs)
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    alive = peak = sum(sizes.bytes(value) for value in inputs)
    ending: dict[int, list[ir.Value]] = {}
    for value in (*inputs, *(v for node in nodes for v in node.outputs)):
        ending.setdefault(last.get(value, -1), []).append(value)
    for index, node in enumerate(nodes):
        kept = [value for value in node.outputs if constant_of(value) is None]
        alive += sum(sizes.bytes(value) for value in kept)
        peak = max(peak, alive)
        alive -= sum(sizes.bytes(value) for value in kept if value not in last)
        alive -= sum(
            sizes.bytes(value) for value in ending.get(index, ()) if constant_of(value) is None
        )
    return peak
