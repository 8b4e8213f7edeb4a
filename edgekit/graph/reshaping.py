"""Replace computed targets of Reshape by constants, where only the batch is dynamic.

Exporters compute a target such as [N, 16, -1] by Shape, Gather, Mul and Concat. Each result is
observed at several batch sizes: an axis that never changes is a constant, and a single one that
grows with the batch is -1, which Reshape works out itself. That this holds at other batch sizes
follows from its being linear in the batch; the caller compares outputs.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.errors import ModelError
from edgekit.graph import trial
from edgekit.graph.surgery import constant_of

_BATCHES = (2, 3, 5)
_LARGEST_BYTES = 1 << 30


def settle_reshapes(model: ir.Model) -> int:
    """Replace in place, inside a native child; return how many targets became constants.

    Nothing is done when another axis than the first of an input is dynamic, or when the model
    does not run at the batch sizes tried.
    """
    reshapes = [node for node in model.graph if _computed(node)]
    shapes = _input_shapes(model)
    if not reshapes or shapes is None or _bytes(model) > _LARGEST_BYTES:
        return 0
    names = tuple(node.outputs[0].name or "" for node in reshapes)
    serialized: bytes = ir.to_proto(model).SerializeToString()
    try:
        seen = [
            trial.fetch(serialized, names, {n: (batch, *rest) for n, rest in shapes.items()})
            for batch in _BATCHES
        ]
    except ModelError:
        return 0
    settled = 0
    for node, name in zip(reshapes, names, strict=True):
        constant = _settled([run[name].shape for run in seen])
        if constant is None:
            continue
        value = ir.Value(name=f"{node.name}.shape", const_value=ir.tensor(constant))
        value.dtype, value.shape = ir.DataType.INT64, ir.Shape(constant.shape)
        model.graph.register_initializer(value)
        node.replace_input_with(1, value)
        settled += 1
    return settled


def _computed(node: ir.Node) -> bool:
    zero_is_zero = node.attributes.get_int("allowzero", 0)
    if node.op_type != "Reshape" or node.domain or zero_is_zero:
        return False
    target = node.inputs[1]
    return target is not None and bool(target.name) and constant_of(target) is None


def _input_shapes(model: ir.Model) -> dict[str, tuple[int, ...]] | None:
    """Return each input's axes after the batch; None when another axis is dynamic."""
    shapes: dict[str, tuple[int, ...]] = {}
    for value in model.graph.inputs:
        axes = value.shape
        if not value.name or axes is None or not axes or isinstance(axes[0], int):
            return None
        rest = [axis for axis in axes[1:] if isinstance(axis, int)]
        if len(rest) != len(axes) - 1:
            return None
        shapes[value.name] = tuple(rest)
    return shapes


def _settled(found: list[tuple[int, ...]]) -> NDArray[np.int64] | None:
    """Return the target that gives these shapes at `_BATCHES`; None when no constant does."""
    if len({len(shape) for shape in found}) > 1:
        return None
    rows = np.array(found, np.int64)
    changing = np.flatnonzero((rows != rows[0]).any(axis=0))
    if len(changing) > 1 or (rows <= 0).any():
        return None
    target = np.array(found[0], np.int64)
    for index in changing:
        if (rows[:, index] * _BATCHES[0] != rows[0, index] * np.array(_BATCHES)).any():
            return None
        target[index] = -1
    return target


def _bytes(model: ir.Model) -> int:
    return sum(
        value.const_value.nbytes
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None
    )
