"""Gates: products by one value for each channel, as in squeeze-and-excite.

A runtime that keeps activations in blocks of channels (onnxruntime on x86) goes back to the plain
layout around a product whose operands differ in shape, and forth again behind it. Spread over the
whole image by an upsampling of one pixel the gate has the shape of what it scales, and all stays
in blocks. The answers are the same to the last bit.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph.model import Model
from edgekit.graph.shapes import infer_shapes
from edgekit.graph.surgery import constant_of

_LEAST_OPSET = 13
_RANK = 4


def spread_gates(model: Model) -> list[tuple[Model, tuple[str, ...]]]:
    """Return the model with its gates spread over the images that they scale, in several ways.

    Left alone are gates over images of a size that is not fixed, and those between integers.

    Returns:
        the model with the gates of the smallest images spread, with those of the next larger ones
        as well, and so on to all, each with the names of the products; empty without a gate.

    Raises:
        ModelError: shape inference fails.
    """
    products = [node for node in model.ir.graph if node.op_type == "Mul" and not node.domain]
    if model.opset < _LEAST_OPSET or not products:
        return []
    inferred = infer_shapes(model)
    gates = (_gate(node) for node in inferred.ir.graph)
    sizes = sorted({gate[1] * gate[2] for gate in gates if gate is not None})
    return [_spread_up_to(size, inferred) for size in sizes]


def gather_gates(graph: ir.Graph) -> int:
    """Undo `spread_gates` in place, wherever it was done; return how many gates there were."""
    gathered = 0
    for node in list(graph):
        gate = node.inputs[0] if node.inputs else None
        uses = tuple(node.outputs[0].uses())
        if not _spreads(node) or gate is None or not uses or node.outputs[0].is_graph_output():
            continue
        if all(use.node.op_type == "Mul" and not use.node.domain for use in uses):
            for use in uses:
                use.node.replace_input_with(use.idx, gate)
            graph.remove(node, safe=True)
            gathered += 1
    return gathered


def _spread_up_to(pixels: int, model: Model) -> tuple[Model, tuple[str, ...]]:
    graph = model.editable()
    spread = []
    for node in list(graph.graph):
        found = _gate(node)
        if found is None or found[1] * found[2] > pixels:
            continue
        at, height, width = found
        gate, image = node.inputs[at], node.inputs[1 - at]
        assert gate is not None and image is not None  # noqa: S101, PT018  # as `_gate` saw
        scales = np.array([1, 1, height, width], np.float32)
        name = f"{node.name}.spread"
        value = ir.Value(name=f"{name}.scales", const_value=ir.tensor(scales))
        value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape(scales.shape)
        graph.graph.register_initializer(value)
        resize = ir.node(
            "Resize",
            [gate, None, value],
            {
                "mode": "nearest",
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
            },
            name=name,
        )
        output = resize.outputs[0]
        output.name, output.type, output.shape = f"{name}.out", image.type, image.shape
        graph.graph.insert_before(node, resize)
        node.replace_input_with(at, output)
        spread.append(node.name or "")
    return Model(ir=graph, name=model.name), tuple(spread)


def _gate(node: ir.Node) -> tuple[int, int, int] | None:
    """Return which operand is a gate, and height and width of what it scales."""
    if node.op_type != "Mul" or node.domain:
        return None
    shapes = [value.shape if value is not None else None for value in node.inputs]
    if any(shape is None or len(shape) != _RANK for shape in shapes):
        return None
    if any(value is None or _of_integers(value) for value in node.inputs):
        return None
    for at in (0, 1):
        gate, image = shapes[at], shapes[1 - at]
        assert gate is not None and image is not None  # noqa: S101, PT018  # seen above
        height, width = image[2], image[3]
        if not isinstance(height, int) or not isinstance(width, int) or height * width == 1:
            continue
        alike = gate[0] == image[0] and gate[1] == image[1] and gate[0] is not None
        if alike and gate[2] == gate[3] == 1:
            return at, height, width
    return None


def _of_integers(value: ir.Value) -> bool:
    producer = value.producer()
    dequantized = producer is not None and producer.op_type == "DequantizeLinear"
    return dequantized or constant_of(value) is not None


def _spreads(node: ir.Node) -> bool:
    """Say whether a node repeats one pixel over an image."""
    gate = node.inputs[0] if node.op_type == "Resize" and not node.domain else None
    if gate is None or gate.shape is None or len(gate.shape) != _RANK:
        return False
    nearest = node.attributes.get_string("mode", "nearest") == "nearest"
    return nearest and gate.shape[2] == gate.shape[3] == 1
