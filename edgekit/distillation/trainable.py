"""Which initializers of a graph are weights, to be trained, and which are settings."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph import Model

_SETTINGS: dict[str, frozenset[int]] = {
    "BatchNormalization": frozenset({3, 4}),
    "Clip": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1}),
    "Pad": frozenset({2}),
    "Pow": frozenset({1}),
    "QuantizeLinear": frozenset({1}),
    "Range": frozenset({0, 1, 2}),
    "Resize": frozenset({1, 2}),
    "Upsample": frozenset({1}),
}
"""By operator, the inputs that say how it works."""


def trainable(model: Model) -> tuple[str, ...]:
    """Return the initializers that training may change: floats of more than one element.

    A single number is a setting, and so is what an operator reads as one: the statistics of a
    normalization, the bounds of a Clip, the scale of a quantization.

    Raises:
        ModelError: one is no float32.
    """
    found = []
    for name, value in model.ir.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or not tensor.dtype.is_floating_point() or tensor.size <= 1:
            continue
        uses = list(value.uses())
        if not uses or any(_is_setting(use.node, use.idx) for use in uses):
            continue
        if tensor.dtype != ir.DataType.FLOAT:
            raise ModelError(
                "only float32 weights can be trained",
                where=name,
                found=tensor.dtype.name.lower(),
                remedy="train the float32 form of the model, and convert it then",
            )
        found.append(name)
    return tuple(found)


def _is_setting(node: ir.Node, place: int) -> bool:
    return not node.domain and place in _SETTINGS.get(node.op_type, ())
