"""Batch normalization while a student learns: by the samples of a step (Ioffe & Szegedy 2015).

What the samples of each step show moves the statistics that the graph holds, and is used later.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

_STATISTICS = (3, 4)


def by_batch(model: ir.Model, names: Collection[str]) -> dict[str, str]:
    """Let normalizations use the statistics of the samples at hand, in place.

    Args:
        model: its nodes are changed.
        names: initializers that are trained; a normalization whose scale is none stays as it is.

    Returns:
        by initializer that holds statistics: the value that they have moved to.
    """
    moved: dict[str, str] = {}
    for node in model.graph:
        if node.op_type != "BatchNormalization" or node.domain:
            continue
        scale = node.inputs[1]
        given = [
            value.name or ""
            for place in _STATISTICS
            if (value := node.inputs[place]) is not None
            and value.is_initializer()
            and len(list(value.uses())) == 1
        ]
        already = node.attributes.get_int("training_mode", 0) != 0
        if already or scale is None or scale.name not in names or len(given) < len(_STATISTICS):
            continue
        node.attributes.add(ir.AttrInt64("training_mode", 1))
        node.resize_outputs(1 + len(_STATISTICS))
        for name, value in zip(given, node.outputs[1:], strict=True):
            value.name = moved[name] = f"{name}/moved"
    return moved
