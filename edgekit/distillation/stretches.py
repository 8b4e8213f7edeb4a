"""A stretch of a graph, from one node to another, and what takes its place.

The values that lead into it and out of it keep their names, so that what stands there can be
trained between them while the rest of the graph stays as it is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.distillation.rewiring import clear, take_place
from edgekit.errors import ModelError, UsageError
from edgekit.graph import Model

_PARTED = ".."


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
        take_place(end, values[name])
    clear(graph, gone)
    return Model(ir=edited, name=model.name)


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
