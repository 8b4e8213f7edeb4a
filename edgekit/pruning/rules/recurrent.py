"""Rule of GRU, LSTM and RNN: one hidden unit is a row of every gate and a column of R."""

from __future__ import annotations

import math

import onnx_ir as ir

from edgekit.pruning.coupling import Ids
from edgekit.pruning.flow import Flow, Refusal

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_PEEPHOLES = 3
_OPERANDS = 8


def recurrent(flow: Flow, node: ir.Node) -> None:
    """Unite the rows of all gates in W, R, B, P with the columns of R and the states.

    Both directions share a unit's number: the weights of both are one tensor.
    """
    if node.attributes.get_int("layout", 0):
        raise Refusal("batch-first layout")
    x, w, r, b, lengths, h0, c0, p = (*node.inputs, *[None] * _OPERANDS)[:_OPERANDS]
    if x is None or w is None or r is None or not (w.is_initializer() and r.is_initializer()):
        raise Refusal("weights that are computed")
    del lengths
    gates = _GATES[node.op_type]
    hidden = flow.axes(r)[2]
    for value, rows in ((w, gates), (r, gates), (b, 2 * gates), (p, _PEEPHOLES)):
        if value is not None:
            _gates(flow, node, hidden, flow.axes(value)[1], rows)
    for state in (h0, c0):
        if state is not None:
            flow.join([hidden, flow.axes(state)[2]], node)
    x_axes = flow.axes(x)
    flow.pin(x_axes[0], node, "runs over them")
    inner = flow.join([x_axes[2], flow.axes(w)[2]], node)
    steps = math.prod(flow.shape(x)[:2])
    flow.product(node, (hidden, inner), steps * math.prod(flow.shape(w)))
    flow.product(node, (hidden, hidden), steps * math.prod(flow.shape(r)))
    for output in node.outputs:
        if output.name:
            flow.give(output, [*[None] * (len(flow.shape(output)) - 1), hidden])
    flow.produce(node, w, 1, hidden)
    flow.produce(node, r, 1, hidden)
    flow.contract(node, (x, 2), (w, 2), len(flow.shape(node.outputs[0])) - 1)
    state = next(output for output in node.outputs if output.name)
    flow.contract(node, (state, len(flow.shape(state)) - 1), (r, 2), None)


def _gates(flow: Flow, node: ir.Node, hidden: Ids | None, rows: Ids | None, gates: int) -> None:
    if hidden is None or rows is None:
        flow.join([hidden, rows], node)
        return
    flow.unite(hidden[None], rows.reshape(gates, -1), node)
