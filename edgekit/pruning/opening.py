"""Opens a graph for fitting: every layer has a bias of its own, every recurrent one its states."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.layerwise.layers import layers_of
from edgekit.pruning.cells import is_recurrent

_PLACES = {"Conv": 2, "Gemm": 2, "GRU": 3, "LSTM": 3, "RNN": 3}


_STATES = ".states"


def opened(model: Model) -> Model:
    """Return the model with a bias of its own for each layer, and the states of recurrent ones.

    A new bias is zero and is called `<node>.bias`. A MatMul without one stays as it is. States that
    nothing reads are called `<node>.states`; `close` takes the name away.
    """
    edited = model.editable()
    graph = edited.graph
    affine = {layer.node: layer for layer in layers_of(graph)}
    for node in list(graph):
        layer = affine.get(node.name or "")
        if layer is None and not is_recurrent(node):
            continue
        if is_recurrent(node) and not node.outputs[0].name:
            node.outputs[0].name = f"{node.name}{_STATES}"
        reader, place = node, _PLACES.get(node.op_type)
        if place is None and layer is not None and layer.bias is not None:
            (reader,) = node.outputs[0].consumers()
            place = reader.inputs.index(graph.initializers[layer.bias])
        if place is not None:
            _own(graph, node, reader, place)
    return Model(ir=edited, name=model.name)


def close(graph: ir.Graph) -> None:
    """Take away, in place, the states of recurrent layers that only `opened` gave a name."""
    for node in graph:
        if is_recurrent(node) and node.outputs[0].name == f"{node.name}{_STATES}":
            node.outputs[0].name = ""


def _own(graph: ir.Graph, node: ir.Node, reader: ir.Node, place: int) -> None:
    """Give `reader` a bias that nothing else reads, unless it has one or it is computed."""
    bias = reader.inputs[place] if place < len(reader.inputs) else None
    if bias is None:
        array = _zeros(node)
    elif bias.const_value is not None and len(bias.uses()) > 1:
        array = bias.const_value.numpy()
    else:
        return
    if array is None:
        return
    name = f"{node.name}.bias"
    own = ir.Value(
        name=name,
        const_value=ir.tensor(array, name=name),
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
    )
    graph.register_initializer(own)
    if place >= len(reader.inputs):
        reader.resize_inputs(place + 1)
    reader.replace_input_with(place, own)


def _zeros(node: ir.Node) -> npt.NDArray[Any] | None:
    """Return a bias that does nothing; None where the weight is no constant."""
    weight = None if node.inputs[1] is None else node.inputs[1].const_value
    if weight is None:
        return None
    shape = weight.shape.numpy()
    outputs = shape[0]
    if node.op_type == "Gemm" and not node.attributes.get_int("transB", 0):
        outputs = shape[1]
    full = (shape[0], 2 * shape[1]) if is_recurrent(node) else (outputs,)
    return np.zeros(full, weight.dtype.numpy())
