"""Finds what belongs together: one walk over the graph, then connected components."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.costs import concrete_shapes
from edgekit.graph.surgery import read_by
from edgekit.pruning.coupling import Coupling, Product
from edgekit.pruning.flow import Flow, Refusal
from edgekit.pruning.groups import channels_of, groups_of
from edgekit.pruning.rules import RULES

_STANDARD = ("", "ai.onnx")
_SINCE = {"Softmax": 13, "LogSoftmax": 13, "Hardmax": 13}


def couple(model: Model, shapes: dict[str, tuple[int, ...]], *, heads: bool = False) -> Coupling:
    """Return the channels of `model`: what can be removed, what goes together, what must stay.

    Channel numbers start at the weights and are carried along every axis of every value; where
    two axes meet their numbers are united; connected components are channels. What an operator
    without a rule touches is pinned: nothing is guessed. Takes time in proportion to the graph.

    Args:
        model: unchanged; weights stored in Constant, Identity or DequantizeLinear count once
            `preparing.prepared`.
        shapes: of the inputs, for multiply-adds and for what reshapes do.
        heads: where an axis of channels is split in two, as attention does, the outer part (whole
            heads) is the channels; else the inner one (the same width in all heads).

    Raises:
        ModelError: the model does not run at these shapes.
    """
    sizes = concrete_shapes(model, shapes)
    flow = Flow(sizes, heads=heads)
    for node in model.ir.graph:
        _walk(flow, node, model.opset)
    for output in model.ir.graph.outputs:
        producer = output.producer()
        for ids in flow.axes_of.get(output.name or "", ()):
            if producer is not None:
                flow.pin(ids, producer, "makes a graph output")
    return _coupling(model, sizes, flow)


def _walk(flow: Flow, node: ir.Node, opset: int) -> None:
    rule = RULES.get(node.op_type) if node.domain in _STANDARD else None
    if opset < _SINCE.get(node.op_type, 0):
        rule = None
    try:
        (rule or _unknown)(flow, node)
    except Refusal as refusal:
        flow.fix_products(node)
        for value in read_by(node):
            flow.pin_value(value, node, str(refusal))
        for output in node.outputs:
            flow.axes_of.pop(output.name or "", None)


def _unknown(_flow: Flow, _node: ir.Node) -> None:
    raise Refusal("an operator without a rule")


def _coupling(model: Model, sizes: Mapping[str, tuple[int, ...]], flow: Flow) -> Coupling:
    channels = channels_of(flow)
    axes = {
        name: tuple(None if ids is None else channels.on(ids) for ids in parts)
        for name, parts in flow.axes_of.items()
        if any(ids is not None for ids in parts)
    }
    read = [
        axes[c.weight[0]][c.weight[1]] if c.weight is not None and c.weight[0] in axes else None
        for c in flow.contractions
    ]
    return Coupling(
        model=model,
        shapes=sizes,
        axes=axes,
        count=channels.count,
        pinned=channels.pinned,
        reasons=channels.reasons,
        groups=groups_of(flow.productions, flow.contractions, read, channels),
        contractions=tuple(flow.contractions),
        products=tuple(
            Product(node=node, macs=macs, axes=tuple(channels.on(ids) for ids in parts))
            for node, macs, parts in flow.products
        ),
    )
