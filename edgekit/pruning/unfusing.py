"""Parts a fused projection, so that what was fused can have different widths.

    x W -> Reshape [.., 3, H, D] -> Transpose -> Gather 0, 1, 2

gives queries, keys and values one common width D. The same comes out of

    x W0 -> Reshape [.., H, D] -> Transpose
    x W1 -> ...
    x W2 -> ...

where each weight has the columns of one part. Which columns those are, and how they lie in it, is
read off numbers that went through the graph (`tracing`): [3, H, D] and [H, 3, D] are one case.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgekit.candidate import Skip
from edgekit.errors import ModelError
from edgekit.graph import Model
from edgekit.graph.costs import concrete_shapes
from edgekit.pruning.parting import Fused, Part, parts_of, start_of
from edgekit.pruning.projections import Projection, projection_of
from edgekit.pruning.tracing import Numbers

_BATCH = 2


def unfused(
    model: Model, shapes: dict[str, tuple[int, ...]]
) -> tuple[Model, tuple[str, ...], tuple[Skip, ...]]:
    """Return the model with fused projections parted, and the names of those projections.

    Outputs are the same, but for the order of sums inside a product.

    Args:
        model: unchanged; its constants are initializers.
        shapes: of the inputs that have dynamic axes besides the batch.

    Returns:
        the model; names of the products that are parted now; the fused ones that stay as they are.

    Raises:
        ModelError: the model does not run at these shapes.
    """
    known = _shapes(model, shapes)
    graph = model.editable()
    changed, skipped = [], []
    for node in list(graph.graph):
        projection = projection_of(node)
        start = None if projection is None else start_of(projection, known)
        if projection is None or start is None:
            continue
        name = node.name or node.op_type
        try:
            parts = parts_of(projection, start, known)
            if parts:
                _rebuild(graph.graph, projection, parts, start.positions)
                changed.append(name)
        except Fused as refusal:
            skipped.append(Skip(where=name, reason=str(refusal)))
    if not changed:
        return model, (), tuple(skipped)
    RemoveUnusedNodesPass()(graph)
    return Model(ir=graph, name=model.name), tuple(changed), tuple(skipped)


def _shapes(model: Model, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return shapes of all values, at a batch of more than one where that runs: it shows moves."""
    batched = dict(shapes)
    for spec in model.inputs:
        axes = shapes.get(spec.name, spec.shape)
        if spec.shape and axes and not isinstance(spec.shape[0], int):
            first = axes[0] + 1 if isinstance(axes[0], int) else _BATCH
            rest = [axis for axis in axes[1:] if isinstance(axis, int)]
            if len(rest) == len(axes) - 1:
                batched[spec.name] = (first, *rest)
    try:
        return concrete_shapes(model, batched)
    except ModelError:
        return concrete_shapes(model, shapes)


def _rebuild(
    graph: ir.Graph, projection: Projection, parts: list[Part], positions: list[int]
) -> None:
    """Make each part of a product of its own, in place."""
    product, last = projection.node, projection.output.producer()
    if last is None:
        raise AssertionError
    nodes: list[ir.Node] = []

    def then(operator: str, inputs: list[ir.Value], name: str, **attributes: object) -> ir.Value:
        node = ir.node(operator, inputs, attributes=attributes or None, name=name)
        node.outputs[0].name, node.outputs[0].type = name, projection.output.type
        nodes.append(node)
        return node.outputs[0]

    for index, part in enumerate(parts):
        name = f"{product.name}.{index}"
        weight = _columns(graph, projection.weight, part.columns, projection.axis)
        end = projection.data
        if projection.bias is None:
            end = then(product.op_type, [end, weight], name, **dict(product.attributes))
        elif last is product:
            bias = _columns(graph, projection.bias, part.columns, 0)
            end = then(product.op_type, [end, weight, bias], name, **dict(product.attributes))
        else:
            bias = _columns(graph, projection.bias, part.columns, 0)
            end = then("Add", [then(product.op_type, [end, weight], name), bias], f"{name}.bias")
        target = [*positions, *part.lengths]
        if target != [0] * len(positions) + [len(part.columns)]:
            shape = _initializer(graph, f"{name}.shape", np.array(target, np.int64))
            end = then("Reshape", [end, shape], f"{name}.reshape")
        if part.perm != tuple(range(len(part.perm))):
            end = then("Transpose", [end], f"{name}.transpose", perm=part.perm)
        old = part.value
        name, old.name = old.name or name, None
        old.replace_all_uses_with(end, replace_graph_outputs=True)
        end.name, end.shape = name, old.shape
    graph.insert_after(last, nodes)


def _columns(graph: ir.Graph, value: ir.Value, columns: Numbers, axis: int) -> ir.Value:
    """Return a new initializer that holds some columns; a view where they are side by side."""
    if value.const_value is None:
        raise AssertionError
    side_by_side = columns[-1] - columns[0] + 1 == len(columns)
    chosen = slice(columns[0], columns[-1] + 1) if side_by_side else columns
    array = value.const_value.numpy()
    taken = array[chosen] if axis == 0 else array[:, chosen]
    names = (f"{value.name}.{columns[0]}" + "'" * more for more in itertools.count())
    name = next(name for name in names if name not in graph.initializers)
    return _initializer(graph, name, taken)


def _initializer(graph: ir.Graph, name: str, array: npt.NDArray[Any]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    graph.register_initializer(value)
    return value
