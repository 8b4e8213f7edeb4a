"""Residual blocks: out = x + f(x) becomes x.

f is everything that serves the Add alone. A whole layer of a transformer is two such blocks in a
row, x + attention(norm(x)) and x + mlp(norm(x)); removing both removes the layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.graph.costs import concrete_shapes
from edgekit.graph.macs import Shape, macs_of
from edgekit.graph.surgery import constant_of
from edgekit.pruning.branches import Ancestry, Branch, has_graph

_RANGE_KEEPING = {"MaxPool", "Identity"}
_UNBOUNDED = (-math.inf, math.inf)
_BOTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A residual block, exit = entry + f(entry), or the same behind an activation.

    The activation is part of the block where it would leave the entry as it is: the ReLU after
    the Add when the entry comes from a ReLU itself. Any other one stays when the block goes.

    Attributes:
        name: of the Add.
        entry: the value that runs around the branch.
        exit: the value that the entry takes the place of.
        nodes: names of what goes with the block, in graph order, the Add among them.
        macs: multiply-adds of the branch.
    """

    name: str
    entry: str
    exit: str
    nodes: tuple[str, ...]
    macs: int


def blocks(
    model: Model, shapes: dict[str, tuple[int, ...]]
) -> tuple[tuple[Block, ...], tuple[Skip, ...]]:
    """Return the residual blocks that can be removed, and the Adds of two branches that cannot.

    Blocks are nested or apart, never crossed; they come in the order of their Adds. A branch may
    read values that do not depend on the entry, too: a mask, an encoder's output.

    Args:
        model: with constants as initializers.
        shapes: of every input that has a dynamic axis.

    Raises:
        ModelError: the model does not run at these shapes.
    """
    ancestry = Ancestry.of(model.ir.graph)
    known = concrete_shapes(model, shapes)

    def shape_of(value: ir.Value | None) -> Shape | None:
        return None if value is None else known.get(value.name or "")

    macs = {node.name or "": macs_of(node, shape_of) for node in ancestry.nodes}
    found = [_block_at(node, ancestry, macs, known) for node in ancestry.nodes]
    return (
        tuple(one for one in found if isinstance(one, Block)),
        tuple(one for one in found if isinstance(one, Skip)),
    )


def without(model: Model, removed: Sequence[Block]) -> Model:
    """Return the model without these blocks: what read their exits reads their entries.

    Nodes and initializers that nothing reads any more are gone; all names that stay are as they
    were, those of the outputs, too.

    Args:
        model: the one that was searched for blocks, or one made of it with the same names.
        removed: blocks in any order, of nested ones one or both.
    """
    graph = model.editable()
    values = {value.name: value for node in graph.graph for value in node.outputs}
    values |= {value.name: value for value in graph.graph.inputs}
    position = {node.name: index for index, node in enumerate(graph.graph)}
    for block in sorted(removed, key=lambda block: position[block.name]):
        entry, left = values[block.entry], values[block.exit]
        if left.is_graph_output():
            left.replace_all_uses_with(_relay(left, entry, block.name), replace_graph_outputs=True)
        else:
            left.replace_all_uses_with(entry)
        values[block.exit] = entry
    RemoveUnusedNodesPass()(graph)
    return Model(ir=graph, name=model.name)


def _relay(output: ir.Value, source: ir.Value, name: str) -> ir.Value:
    """Return a new value that is `source` under the name of a graph output."""
    node = ir.node("Identity", [source], name=name)
    new = node.outputs[0]
    new.name, output.name = output.name, None
    new.shape, new.type = output.shape, output.type
    last = output.producer()
    if last is not None and last.graph is not None:
        last.graph.insert_after(last, node)
    return new


def twins(model: Model, removed: Sequence[Block]) -> dict[str, str]:
    """Return what a value before removed blocks stands for without them.

    What is left of removed blocks in a row is their entry. Where nothing else reads that, what
    makes it (the kept block before, or a layer without a skip) can be fitted anew to the dense
    value at the end of the row. Where an activation ends the blocks, both are taken before it.

    Args:
        model: dense.
        removed: blocks of it.

    Returns:
        By the name of the value that is left: the name of the value of `model` that it stands for.
        Nothing for blocks that follow the model's input or another activation than their own.
    """
    values = {value.name: value for node in model.ir.graph for value in node.outputs}
    following: dict[str, Block] = {}
    for block in sorted(removed, key=lambda block: len(block.nodes)):
        following[block.entry] = block
    found = {}
    for start in sorted(following.keys() - {block.exit for block in following.values()}):
        end = start
        while end in following and end in values and _only_in(values[end], following[end]):
            end = following[end].exit
        if end == start:
            continue
        last, maker = values[end].producer(), values[start].producer()
        if last is None or maker is None or last.op_type == "Add":
            found[start] = end
        elif _bounds(maker) == _bounds(last) and len(_read(maker).consumers()) == 1:
            found[_read(maker).name or ""] = _read(last).name or ""
    return found


def _only_in(value: ir.Value, block: Block) -> bool:
    nodes = set(block.nodes)
    return not value.is_graph_output() and all(user.name in nodes for user in value.consumers())


def _read(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None  # noqa: S101  # an activation has an operand
    return value


def _block_at(
    add: ir.Node, ancestry: Ancestry, macs: Mapping[str, int], shapes: Mapping[str, Shape]
) -> Block | Skip | None:
    """Return the block that ends in `add`, or why it cannot go; None where there is none."""
    inputs = [value for value in add.inputs if value in ancestry.varying]
    if add.op_type != "Add" or len(set(inputs)) != _BOTH:
        return None
    refusal = None
    shape = shapes.get(add.outputs[0].name or "")
    for skip, addend in (inputs, inputs[::-1]):
        whole = shape is not None and shapes.get(skip.name or "") == shape
        branch = ancestry.branch(addend, add, skip)
        cost = sum(macs.get(node.name or "", 0) for node in branch.nodes)
        inner = [value for value in branch.entries if ancestry.depends(value, skip)]
        if inner:
            refusal = _shared(inner[0], branch, add) if whole else refusal
        elif cost and not _carried(skip).isdisjoint(branch.entries):
            if whole:
                return _block(skip, add, branch, cost)
            refusal = f"its skip {skip.name} is broadcast, or of unknown shape"
    if refusal is None and all(_computed(value, macs) for value in inputs):
        refusal = "no identity runs around a branch: both addends are computed"
    return None if refusal is None else Skip(where=add.name or "", reason=refusal)


def _computed(value: ir.Value, macs: Mapping[str, int]) -> bool:
    """Say whether a layer makes `value` for its one reader alone."""
    node = value.producer()
    while node is not None and len(value.consumers()) == 1:
        if macs.get(node.name or ""):
            return True
        inputs = [one for one in node.inputs if one is not None and constant_of(one) is None]
        if len(inputs) != 1:
            return False
        value, node = inputs[0], inputs[0].producer()
    return False


def _carried(skip: ir.Value) -> set[ir.Value]:
    """Return the values that run on in `skip` as they are: it, and what was added to get it."""
    node = skip.producer()
    addends = node.inputs if node is not None and node.op_type == "Add" else ()
    return {skip, *(value for value in addends if value is not None)}


def _shared(value: ir.Value, branch: Branch, add: ir.Node) -> str:
    """Return why a branch cannot go that reads `value`, which depends on the skip."""
    node = value.producer()
    if node is not None and has_graph(node):
        return f"its branch holds {node.name} ({node.op_type}), which has a graph of its own"
    own = {add, *branch.nodes}
    made = (value,) if node is None else node.outputs
    users = dict.fromkeys(user for output in made for user in output.consumers())
    others = [user.name or "" for user in users if user not in own]
    if any(output.is_graph_output() for output in made):
        others.append("the model's user")
    return f"inside its branch {value.name} is read by {', '.join(others)}, too"


def _block(skip: ir.Value, add: ir.Node, branch: Branch, macs: int) -> Block:
    last = add
    users = add.outputs[0].consumers()
    if len(users) == 1 and not add.outputs[0].is_graph_output() and _passes(users[0], skip):
        last = users[0]
    nodes = dict.fromkeys((*branch.nodes, add, last))
    return Block(
        name=add.name or "",
        entry=skip.name or "",
        exit=last.outputs[0].name or "",
        nodes=tuple(node.name or "" for node in nodes),
        macs=macs,
    )


def _passes(activation: ir.Node, value: ir.Value) -> bool:
    """Say whether `activation` is one that returns `value` as it is."""
    low, high = _bounds(activation)
    maker = value.producer()
    while maker is not None and maker.op_type in _RANGE_KEEPING:
        maker = _read(maker).producer()
    lowest, highest = _UNBOUNDED if maker is None else _bounds(maker)
    return (low, high) != _UNBOUNDED and low <= lowest and highest <= high


def _bounds(node: ir.Node) -> tuple[float, float]:
    """Return the range to which a Relu or Clip cuts its input; unbounded for anything else."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type != "Clip":
        return _UNBOUNDED
    bounds = list(_UNBOUNDED)
    for index, value in enumerate(node.inputs[1:3]):
        bound = None if value is None else constant_of(value)
        if value is not None and bound is None:
            return _UNBOUNDED
        bounds[index] = bounds[index] if bound is None else float(bound.item())
    return bounds[0], bounds[1]
