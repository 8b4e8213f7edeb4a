"""The end of a graph behind some nodes, to be run many times on what was once computed for it.

Only used inside a native child.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.graph.trial import open_session
from edgekit.pruning.refitting import Change

if TYPE_CHECKING:
    import onnx

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffix:
    """Nodes that depend on some given ones, those included.

    Attributes:
        nodes: their places in the graph.
        inputs: activations and graph inputs that they read from outside.
        outputs: graph outputs that they make.
    """

    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def suffix_of(graph: onnx.GraphProto, starts: Sequence[str]) -> Suffix:
    """Return what must be computed anew when the nodes `starts` change.

    All of the graph where some node has a subgraph, which may read anything.
    """
    whole = any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute)
    made: set[str] = set()
    chosen: list[int] = []
    for place, node in enumerate(graph.node):
        if whole or node.name in starts or made.intersection(node.input):
            chosen.append(place)
            made.update(name for name in node.output if name)
    weights = {tensor.name for tensor in graph.initializer}
    read = dict.fromkeys(name for place in chosen for name in graph.node[place].input if name)
    if whole:
        read = dict.fromkeys(value.name for value in graph.input)
    return Suffix(
        nodes=tuple(chosen),
        inputs=tuple(name for name in read if name not in made and name not in weights),
        outputs=tuple(value.name for value in graph.output if value.name in made),
    )


def session_of(
    model: onnx.ModelProto,
    suffix: Suffix,
    types: Mapping[str, np.dtype[Any]],
    change: Change,
    folder: Path,
) -> Any:
    """Return a session of the suffix with a change.

    Args:
        model: the whole one; unchanged.
        suffix: of its graph.
        types: numpy types of the suffix's inputs.
        change: what is different in it.
        folder: where the model's external data lies.
    """
    import onnx  # noqa: PLC0415  # never in the host
    from onnx import helper, numpy_helper  # noqa: PLC0415  # as above

    part = onnx.ModelProto()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    graph = part.graph
    graph.name = "suffix"
    for place in suffix.nodes:
        node = onnx.NodeProto()
        node.CopyFrom(model.graph.node[place])
        for number, (name, value, mask) in enumerate(change.masks):
            if name == node.name:
                factor = f"{name}.mask.{number}"
                graph.initializer.append(numpy_helper.from_array(mask, factor))
                read_through = f"{factor}.read"
                graph.node.append(helper.make_node("Mul", [value, factor], [read_through]))
                node.input[:] = [read_through if one == value else one for one in node.input]
        graph.node.append(node)
    for name in suffix.inputs:
        kind = helper.np_dtype_to_tensor_dtype(types[name])
        graph.input.append(helper.make_tensor_value_info(name, kind, None))
    graph.output.extend(value for value in model.graph.output if value.name in suffix.outputs)
    read = {name for node in graph.node for name in node.input}
    nested = any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute)
    for tensor in model.graph.initializer:
        if tensor.name in change.weights:
            graph.initializer.append(
                numpy_helper.from_array(change.weights[tensor.name], tensor.name)
            )
        elif tensor.name in read or nested:
            graph.initializer.append(tensor)
    return open_session(part.SerializeToString(), folder=folder, threads=os.cpu_count() or 1)
