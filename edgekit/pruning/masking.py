"""The oracle of surgery: the whole graph, in which nobody reads what would be removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph import Model, infer_shapes
from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import Coupling, Keep, positions_kept
from edgekit.pruning.cutting import Cut

_RECURRENCE = 2
"""The operand of GRU, LSTM and RNN that the state is multiplied with."""


def masked(coupling: Coupling, keep: Keep) -> Model:
    """Return the model with all shapes as they are, whose contractions read zeros for what goes.

    Each contraction's data is multiplied by zeros and ones, for that use only: the same as zeroed
    columns of its weight, whatever form that has and whoever shares it. A recurrent node reads its
    own state, so there the columns of R are zeroed. What makes the channels stays as it is, for a
    zero there would not stay one (sigmoid(0) = 0.5).

    `removed(coupling, keep)` must answer alike.

    Args:
        coupling: its model is unchanged.
        keep: which channels stay.
    """
    edited = infer_shapes(coupling.model).ir
    cut = Cut(coupling, keep, edited.graph)
    nodes = {node.name: node for node in edited.graph}
    read = {name: [_name(value) for value in node.inputs] for name, node in nodes.items()}
    for contraction in coupling.contractions:
        node = nodes[contraction.node]
        name, axis = contraction.data
        ids = coupling.on(name, axis)
        if ids is None or positions_kept(ids, keep).all():
            continue
        mask = positions_kept(ids, keep)
        mask = mask.reshape([-1 if i == axis else 1 for i in range(len(coupling.shapes[name]))])
        if name in read[node.name]:
            _mask_data(cut, node, read[node.name].index(name), mask)
        else:
            _mask_recurrence(cut, node, mask)
    return Model(ir=edited, name=coupling.model.name)


def _mask_data(cut: Cut, node: ir.Node, index: int, mask: npt.NDArray[np.bool_]) -> None:
    """Multiply one operand of the node, for this node only."""
    value = node.inputs[index]
    if value is None:
        return
    dtype = value.dtype or ir.DataType.FLOAT
    factor = cut.constant(f"{node.name}.mask", mask.astype(dtype.numpy()))
    multiplied = ir.node("Mul", [value, factor], name=factor.name)
    multiplied.outputs[0].name, multiplied.outputs[0].dtype = f"{factor.name}.read", dtype
    node.graph.insert_before(node, multiplied)  # type: ignore[union-attr]  # it lies in the graph
    node.replace_input_with(index, multiplied.outputs[0])


def _mask_recurrence(cut: Cut, node: ir.Node, mask: npt.NDArray[np.bool_]) -> None:
    """Zero the columns of R, [directions, gates * hidden, hidden], that read the state."""
    weight = node.inputs[_RECURRENCE]
    array = None if weight is None else constant_of(weight)
    if array is not None:
        cut.tell(node, _RECURRENCE, array * mask.ravel().astype(array.dtype), "masked")


def _name(value: ir.Value | None) -> str | None:
    return None if value is None else value.name
