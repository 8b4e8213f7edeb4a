"""Replace what is computed of shapes by constants, where only the batch is dynamic.

Exporters compute a target such as [N, 16, -1] by Shape, Gather, Mul and Concat, and likewise the
bounds of slices, widths of padding, masks. Each result is observed at several batch sizes. What
never changes is a constant; in a Reshape's target a single axis that grows with the batch is -1,
which Reshape works out itself. That this holds at other batch sizes follows from its being linear
in the batch; the caller compares outputs.
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
_LARGEST_ELEMENTS = 1 << 12
_SUBGRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_RANDOM = ("Bernoulli", "Multinomial", "Random")


def settle_sizes(model: ir.Model) -> int:
    """Replace results of shapes alone that the batch does not change; return how many.

    In place, inside a native child; nothing is done in the cases of `settle_reshapes`. A result of
    more than 4,096 elements stays computed, so that the file does not grow.
    """
    values = [value for value in _of_shapes(model.graph) if not value.is_graph_output()]
    seen = _observed(model, tuple(value.name or "" for value in values))
    settled = 0
    for value in values if seen else ():
        first, *others = (run.get(value.name or "") for run in seen)
        if first is None or first.size > _LARGEST_ELEMENTS:
            continue
        if not all(other is not None and np.array_equal(first, other) for other in others):
            continue
        constant = ir.Value(name=f"{value.name}.settled", const_value=ir.tensor(first))
        constant.dtype, constant.shape = ir.DataType.from_numpy(first.dtype), ir.Shape(first.shape)
        model.graph.register_initializer(constant)
        value.replace_all_uses_with(constant)
        settled += 1
    return settled


def settle_reshapes(model: ir.Model) -> int:
    """Replace in place, inside a native child; return how many targets became constants.

    Nothing is done when another axis than the first of an input is dynamic, or when the model
    does not run at the batch sizes tried.
    """
    reshapes = [node for node in model.graph if _computed(node)]
    names = tuple(node.outputs[0].name or "" for node in reshapes)
    seen = _observed(model, names)
    settled = 0
    for node, name in zip(reshapes, names, strict=True) if seen else ():
        constant = _settled([run[name].shape for run in seen])
        if constant is None:
            continue
        value = ir.Value(name=f"{node.name}.shape", const_value=ir.tensor(constant))
        value.dtype, value.shape = ir.DataType.INT64, ir.Shape(constant.shape)
        model.graph.register_initializer(value)
        node.replace_input_with(1, value)
        settled += 1
    return settled


def _of_shapes(graph: ir.Graph) -> list[ir.Value]:
    """Return the values that depend on shapes and constants alone, and are no constants."""
    found: dict[ir.Value, None] = {}
    for node in graph:
        if node.domain or node.op_type.startswith(_RANDOM) or not all(o.name for o in node.outputs):
            continue
        if any(a.type in _SUBGRAPHS for a in node.attributes.values()):
            continue
        read = [value for value in node.inputs if value is not None and constant_of(value) is None]
        if node.op_type == "Shape" or (read and all(value in found for value in read)):
            found.update(dict.fromkeys(node.outputs))
    return list(found)


def _observed(model: ir.Model, names: tuple[str, ...]) -> list[trial.Arrays]:
    """Return these values at each of `_BATCHES`; nothing when that is not possible."""
    shapes = _input_shapes(model)
    if not names or shapes is None or _bytes(model) > _LARGEST_BYTES:
        return []
    serialized: bytes = ir.to_proto(model).SerializeToString()
    try:
        return [
            trial.fetch(serialized, names, {n: (batch, *rest) for n, rest in shapes.items()})
            for batch in _BATCHES
        ]
    except ModelError:
        return []


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
