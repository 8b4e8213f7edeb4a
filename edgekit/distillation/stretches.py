"""A stretch of a graph, from one node to another, and what takes its place.

The values that lead into it and out of it keep their names, so that what stands there can be
trained between them while the rest of the graph stays as it is.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.distillation.packing import Array
from edgekit.errors import ModelError, UsageError
from edgekit.graph import Model

_PARTED = ".."
_PLANE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """All nodes on a way from one node to another.

    Attributes:
        inputs: values of the data's way that it reads, by name.
        outputs: values that are read behind it, by name.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def stretch_of(model: Model, text: str) -> Stretch:
    """Return the stretch that `FIRST..LAST` names, both nodes included.

    Raises:
        UsageError: no such nodes, no way from the first to the last, or nothing reads it.
    """
    names = {node.name: node for node in model.ir.graph if node.name}
    first, parted, last = text.partition(_PARTED)
    if not parted:
        raise UsageError(
            "cannot read the stretch", where="--replace", found=repr(text), expected="NODE..NODE"
        )
    for name in (first, last):
        if name not in names:
            close = difflib.get_close_matches(name, [str(one) for one in names], n=1)
            raise UsageError(
                f"the model has no node {name!r}",
                where="--replace",
                remedy=f"did you mean {close[0]!r}?" if close else "`edgekit inspect` names them",
            )
    nodes = _behind(names[first]) & _before(names[last])
    if not nodes:
        raise UsageError(
            f"no way leads from {first!r} to {last!r}", where="--replace", found=repr(text)
        )
    inputs: list[str] = []
    outputs: list[str] = []
    for node in model.ir.graph:
        if node not in nodes:
            continue
        inputs += [
            value.name or ""
            for value in node.inputs
            if value is not None and value.producer() not in nodes and not _constant(value)
        ]
        outputs += [
            value.name or ""
            for value in node.outputs
            if value.is_graph_output() or any(use.node not in nodes for use in value.uses())
        ]
    return Stretch(inputs=tuple(dict.fromkeys(inputs)), outputs=tuple(dict.fromkeys(outputs)))


def within(model: Model, stretch: Stretch) -> list[ir.Node]:
    """Return the nodes between a stretch's inputs and outputs, in graph order."""
    found: set[ir.Node] = set()
    ends = set(stretch.outputs)
    waiting = [v for node in model.ir.graph for v in node.outputs if v.name in ends]
    while waiting:
        value = waiting.pop()
        maker = value.producer()
        if maker is None or maker in found or value.name in stretch.inputs:
            continue
        found.add(maker)
        waiting += [one for one in maker.inputs if one is not None]
    return [node for node in model.ir.graph if node in found]


def weights_within(model: Model, stretch: Stretch) -> frozenset[str]:
    """Return the initializers that nothing outside a stretch reads."""
    nodes = set(within(model, stretch))
    return frozenset(
        name
        for name, value in model.ir.graph.initializers.items()
        if value.uses() and all(use.node in nodes for use in value.uses())
    )


def separable(model: Model, stretch: Stretch) -> tuple[Model, int]:
    """Replace dense convolutions in a stretch by a depthwise and a pointwise one.

    Each input channel's kernels, one an output, become the one kernel and the factors that are
    nearest to them by squared error: of a matrix (outputs, positions), its first singular vectors.

    Returns:
        the model, and how many convolutions were replaced.

    Raises:
        ModelError: there is none to replace.
    """
    edited = Model(ir=model.editable(), name=model.name)
    count = 0
    for node in within(edited, stretch):
        weight = _dense(node)
        if weight is not None:
            _separate(edited.ir.graph, node, weight)
            count += 1
    if not count:
        raise ModelError(
            "has no dense convolution to replace",
            where=f"stretch to {', '.join(stretch.outputs)}",
            remedy="name a student of your own with --student",
        )
    return edited, count


def spliced(model: Model, stretch: Stretch, block: Model) -> Model:
    """Return the model with another graph in place of a stretch.

    Args:
        model: unchanged.
        stretch: of it.
        block: its inputs and outputs take the stretch's places, in order.

    Raises:
        ModelError: it has other numbers of inputs or outputs, or its opset is another.
    """
    edited, other = model.editable(), block.editable()
    for what, own, its in (
        ("inputs", stretch.inputs, other.graph.inputs),
        ("outputs", stretch.outputs, other.graph.outputs),
    ):
        if len(own) != len(its):
            raise ModelError(
                f"does not have the stretch's {what}",
                where=block.name,
                found=", ".join(value.name or "" for value in its) or "none",
                expected=f"{len(own)}, for {', '.join(own)}",
            )
    if other.opset_imports.get("", 0) != edited.opset_imports.get("", 0):
        raise ModelError(
            "has another opset than the model",
            where=block.name,
            found=str(other.opset_imports.get("", 0)),
            expected=str(edited.opset_imports.get("", 0)),
        )
    graph = edited.graph
    values = {v.name: v for node in graph for v in node.outputs} | {v.name: v for v in graph.inputs}
    gone = within(Model(ir=edited, name=model.name), stretch)
    anchor = gone[-1]
    _rename(other.graph, "student/")
    ends = list(other.graph.outputs)
    for value, name in zip(list(other.graph.inputs), stretch.inputs, strict=True):
        value.replace_all_uses_with(values[name])
    for value in list(other.graph.initializers.values()):
        del other.graph.initializers[value.name or ""]
        graph.register_initializer(value)
    nodes = list(other.graph)
    other.graph.outputs.clear()
    other.graph.remove(nodes)
    graph.insert_after(anchor, nodes)
    for end, name in zip(ends, stretch.outputs, strict=True):
        _take_place(end, values[name])
    _clear(graph, gone)
    return Model(ir=edited, name=model.name)


def _dense(node: ir.Node) -> Array | None:
    """Return the weight of a convolution over a plane that mixes channels and places."""
    if node.op_type != "Conv" or node.domain or node.attributes.get_int("group", 1) != 1:
        return None
    value = node.inputs[1]
    if value is None or value.const_value is None or len(list(value.uses())) != 1:
        return None
    weight = value.const_value.numpy()
    if weight.ndim != _PLANE or math.prod(weight.shape[2:]) == 1 or weight.shape[1] == 1:
        return None
    return weight


def _separate(graph: ir.Graph, node: ir.Node, weight: Array) -> None:
    outputs, inputs, *kernel = weight.shape
    matrices = weight.transpose(1, 0, 2, 3).reshape(inputs, outputs, -1).astype(np.float64)
    left, sizes, right = np.linalg.svd(matrices, full_matrices=False)
    root = np.sqrt(sizes[:, :1])
    depthwise = (right[:, 0] * root).reshape(inputs, 1, *kernel).astype(np.float32)
    pointwise = (left[:, :, 0] * root).T.reshape(outputs, inputs, 1, 1).astype(np.float32)
    name = node.name or node.op_type
    spread, mixed = (
        _initializer(graph, f"{name}/{part}", array)
        for part, array in (("depthwise", depthwise), ("pointwise", pointwise))
    )
    attributes = [one for key, one in node.attributes.items() if key != "group"]
    first = ir.Node(
        "",
        "Conv",
        [node.inputs[0], spread],
        [*attributes, ir.AttrInt64("group", inputs)],
        name=f"{name}/depthwise",
    )
    first.outputs[0].name = f"{name}/depthwise_output"
    first.outputs[0].dtype = ir.DataType.FLOAT
    bias = node.inputs[2:]
    second = ir.Node("", "Conv", [first.outputs[0], mixed, *bias], [], name=f"{name}/pointwise")
    second.outputs[0].name = f"{name}/pointwise_output"
    graph.insert_before(node, [first, second])
    _take_place(second.outputs[0], node.outputs[0])
    _clear(graph, [node])


def _initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


def _take_place(new: ir.Value, old: ir.Value) -> None:
    """Let `new` be read, and called, as `old` was."""
    name, old.name = old.name, None
    new.shape, new.type = old.shape, old.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    new.name = name


def _clear(graph: ir.Graph, gone: list[ir.Node]) -> None:
    """Remove nodes, and the initializers that nothing reads any more."""
    read = {value for node in gone for value in node.inputs if value is not None}
    graph.remove(gone, safe=True)
    for value in read:
        if value.is_initializer() and not value.uses() and not value.is_graph_input():
            del graph.initializers[value.name or ""]


def _rename(graph: ir.Graph, prefix: str) -> None:
    for node in graph:
        node.name = f"{prefix}{node.name or node.op_type}"
        for value in node.outputs:
            value.name = f"{prefix}{value.name}"
    for name, value in list(graph.initializers.items()):
        del graph.initializers[name]
        value.name = f"{prefix}{name}"
        graph.register_initializer(value)


def _constant(value: ir.Value) -> bool:
    if value.is_initializer():
        return True
    maker = value.producer()
    return maker is not None and maker.op_type == "Constant"


def _behind(node: ir.Node) -> set[ir.Node]:
    found, waiting = {node}, [node]
    while waiting:
        for value in waiting.pop().outputs:
            for use in value.uses():
                if use.node not in found:
                    found.add(use.node)
                    waiting.append(use.node)
    return found


def _before(node: ir.Node) -> set[ir.Node]:
    found, waiting = {node}, [node]
    while waiting:
        for value in waiting.pop().inputs:
            maker = None if value is None else value.producer()
            if maker is not None and maker not in found:
                found.add(maker)
                waiting.append(maker)
    return found
