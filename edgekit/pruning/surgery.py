"""Take channels out of a graph: weights are sliced, and nodes are told of the new lengths."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.pruning.correcting import correct
from edgekit.pruning.coupling import Coupling, Ids, Keep
from edgekit.pruning.cutting import Cut


def removed(coupling: Coupling, keep: Keep) -> Model:
    """Return the model without the channels that do not stay.

    Names of nodes, values and weights are those of `coupling.model`. A parameter that speaks of
    channel counts, such as a Reshape's target, becomes a new initializer of its node.

    Memory: the slices of weights in memory; slices of external weights are made one at a time
    whenever they are read, e.g. saved. Weights that stay whole are shared with `coupling.model`.

    Args:
        coupling: its model is unchanged.
        keep: which channels stay; pinned ones must, and at least one of each group.

    Raises:
        ModelError: an axis would be left without a channel.
        ValueError: a pinned channel would go.
    """
    if not keep[coupling.pinned >= 0].all():
        raise ValueError("a pinned channel cannot be removed")
    edited = coupling.model.editable()
    graph = edited.graph
    cut = Cut(coupling, keep, graph)
    weights = [value for name, value in graph.initializers.items() if name in coupling.axes]
    nodes = list(graph)
    for node in nodes:
        correct(cut, node)
    for weight in weights:
        if weight.is_initializer():
            _slice(cut, weight)
    for node in nodes:
        for output in node.outputs:
            if cut.shortened(output):
                output.shape = None
    return Model(ir=edited, name=coupling.model.name)


def _slice(cut: Cut, weight: ir.Value) -> None:
    """Give an initializer the positions that stay."""
    tensor, changes = weight.const_value, cut.shortened(weight)
    if tensor is None or not changes:
        return
    kept = ((axis, cut.kept(weight, axis)) for axis in changes)
    positions = {axis: stay for axis, stay in kept if stay is not None}
    shape = ir.Shape([cut.length(weight, axis) for axis in range(len(cut.shape(weight)))])
    taken = functools.partial(_taken, tensor, positions)
    if isinstance(tensor, ir.ExternalTensor | ir.LazyTensor):
        weight.const_value = ir.LazyTensor(taken, tensor.dtype, shape, name=tensor.name)
    else:
        weight.const_value = taken()
    weight.shape = shape


def _taken(tensor: ir.TensorProtocol, positions: Mapping[int, Ids]) -> ir.TensorProtocol:
    if isinstance(tensor, ir.ExternalTensor):
        tensor = _mapped_anew(tensor)
    array = tensor.numpy()
    for axis, stay in positions.items():
        array = np.take(array, stay, axis)
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)


def _mapped_anew(tensor: ir.ExternalTensor) -> ir.ExternalTensor:
    """Return the tensor with a mapping of its own, which ends with it and frees its pages."""
    return ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name or "",
        base_dir=tensor.base_dir,
    )
