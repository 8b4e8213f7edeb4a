"""Layers that run over a sequence, in one direction or both.

Shapes as of ONNX: x (steps, samples, inputs), W (directions, gates * hidden, inputs), R
(directions, gates * hidden, hidden), B (directions, 2 * gates * hidden); with `layout` 1 the
samples come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator

Function = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]
"""The hidden state, and the cell state of an LSTM; each (samples, hidden)."""

_F = torch.nn.functional
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_FUNCTIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_OPERANDS = 8

_ALPHA = {
    "affine": 1.0,
    "elu": 1.0,
    "hardsigmoid": 0.2,
    "leakyrelu": 0.01,
    "scaledtanh": 1.0,
    "thresholdedrelu": 1.0,
}
_BETA = {"affine": 0.0, "hardsigmoid": 0.5, "scaledtanh": 1.0}
_KINDS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "affine": lambda x, a, b: a * x + b,
    "elu": lambda x, a, _: _F.elu(x, a),
    "hardsigmoid": lambda x, a, b: (a * x + b).clamp(0, 1),
    "leakyrelu": lambda x, a, _: _F.leaky_relu(x, a),
    "relu": lambda x, *_: torch.relu(x),
    "scaledtanh": lambda x, a, b: a * torch.tanh(b * x),
    "sigmoid": lambda x, *_: torch.sigmoid(x),
    "softplus": lambda x, *_: _F.softplus(x),
    "softsign": lambda x, *_: _F.softsign(x),
    "tanh": lambda x, *_: torch.tanh(x),
    "thresholdedrelu": lambda x, a, _: torch.where(x > a, x, torch.zeros_like(x)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Direction:
    """One direction's weights, without the axis of directions, and its functions."""

    w: Tensor
    r: Tensor
    bias_w: Tensor
    bias_r: Tensor
    peephole: Tensor | None
    functions: tuple[Function, ...]
    clip: Function
    read: Function
    linear_before_reset: bool = False
    input_forget: bool = False


Step = Callable[[_Direction, Tensor, State], State]


def recurrent(node: Node, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    """Return all hidden states, the last one, and the last cell state of an LSTM."""
    x, w, r, b, lengths, h0, c0, p = (*inputs, *[None] * _OPERANDS)[:_OPERANDS]
    assert x is not None  # noqa: S101  # operands that ONNX demands
    assert w is not None  # noqa: S101  # as above
    assert r is not None  # noqa: S101  # as above
    batch_first = bool(node.get("layout", 0))
    if batch_first:
        x = x.transpose(0, 1)
        h0, c0 = (None if one is None else one.transpose(0, 1) for one in (h0, c0))
    directions, hidden = len(w), r.shape[2]
    states = [h0, c0] if node.kind == "LSTM" else [h0]
    made, last = [], []
    for number in range(directions):
        direction = _direction(node, number, w, r, b, p)
        zeros = x.new_zeros(x.shape[1], hidden)
        start = tuple(zeros if one is None else one[number] for one in states)
        backwards = node.get("direction", "forward") == "reverse" or number == 1
        outputs, end = _run(_STEPS[node.kind], direction, x, start, lengths, backwards=backwards)
        made.append(outputs)
        last.append(end)
    whole = torch.stack(made, 1)
    ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
    if batch_first:
        whole = whole.permute(2, 0, 1, 3)
        ends = [end.transpose(0, 1) for end in ends]
    return whole, *ends


def _run(
    step: Step,
    direction: _Direction,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    *,
    backwards: bool,
) -> tuple[Tensor, State]:
    """Return all hidden states, (steps, samples, hidden), and the state after the last step.

    A sample that has ended keeps its state and makes zeros; backwards begins at its own end.
    """
    order = _order(x, lengths) if backwards else None
    inputs = x if order is None else _ordered(x, order)
    projected = inputs @ direction.w.T + direction.bias_w
    made = []
    for time, given in enumerate(projected):
        new = step(direction, given, state)
        output = new[0]
        if lengths is not None:
            alive = (lengths > time)[:, None]
            new = tuple(torch.where(alive, a, b) for a, b in zip(new, state, strict=True))
            output = torch.where(alive, output, torch.zeros_like(output))
        state = new
        made.append(output)
    whole = torch.stack(made) if made else x.new_zeros(0, x.shape[1], direction.r.shape[1])
    return whole if order is None else _ordered(whole, order), state


def _order(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return which step comes at each place backwards, (steps, samples); its own inverse."""
    steps = torch.arange(len(x))[:, None].expand(len(x), x.shape[1])
    ends = torch.full((x.shape[1],), len(x)) if lengths is None else lengths
    return torch.where(steps < ends, ends - 1 - steps, steps)


def _ordered(x: Tensor, order: Tensor) -> Tensor:
    return x[order, torch.arange(x.shape[1])]


def _rnn(one: _Direction, given: Tensor, state: State) -> State:
    (hidden,) = state
    return (one.functions[0](one.clip(given + one.read(hidden) @ one.r.T + one.bias_r)),)


def _gru(one: _Direction, given: Tensor, state: State) -> State:
    (hidden,) = state
    read, size = one.read(hidden), hidden.shape[1]
    f, g = one.functions
    gates = given[:, : 2 * size] + read @ one.r[: 2 * size].T + one.bias_r[: 2 * size]
    update, reset = f(one.clip(gates)).chunk(2, 1)
    rows, bias = one.r[2 * size :].T, one.bias_r[2 * size :]
    if one.linear_before_reset:
        new = given[:, 2 * size :] + reset * (read @ rows + bias)
    else:
        new = given[:, 2 * size :] + (reset * read) @ rows + bias
    return ((1 - update) * g(one.clip(new)) + update * hidden,)


def _lstm(one: _Direction, given: Tensor, state: State) -> State:
    hidden, cell = state
    f, g, h = one.functions
    i, o, forget, c = (given + one.read(hidden) @ one.r.T + one.bias_r).chunk(4, 1)
    if one.peephole is not None:
        peep_i, peep_o, peep_f = one.peephole.chunk(3)
        i, forget = i + peep_i * cell, forget + peep_f * cell
    i = f(one.clip(i))
    kept = 1 - i if one.input_forget else f(one.clip(forget))
    cell = kept * cell + i * g(one.clip(c))
    if one.peephole is not None:
        o = o + peep_o * cell
    return f(one.clip(o)) * h(cell), cell


_STEPS: dict[str, Step] = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def _direction(node: Node, number: int, *weights: Tensor | None) -> _Direction:
    w, r, b, p = weights
    assert w is not None  # noqa: S101  # `recurrent` has seen to it
    assert r is not None  # noqa: S101  # as above
    gates = _GATES[node.kind] * r.shape[2]
    zeros = w.new_zeros(gates)
    bound = node.get("clip")
    functions = list(_functions(node, len(w)))
    each = len(functions) // len(w)
    return _Direction(
        w=w[number],
        r=r[number],
        bias_w=zeros if b is None else b[number, :gates],
        bias_r=zeros if b is None else b[number, gates:],
        peephole=None if p is None else p[number],
        functions=tuple(functions[number * each : (number + 1) * each]),
        clip=_same if bound is None else lambda x: x.clamp(-bound, bound),
        read=node.state or _same,
        linear_before_reset=bool(node.get("linear_before_reset", 0)),
        input_forget=bool(node.get("input_forget", 0)),
    )


def _functions(node: Node, directions: int) -> Iterator[Function]:
    """Yield the functions of all directions; alphas and betas go to those that take one."""
    alphas = iter(node.get("activation_alpha", ()))
    betas = iter(node.get("activation_beta", ()))
    for name in node.get("activations", _FUNCTIONS[node.kind] * directions):
        kind = name.lower()
        if kind not in _KINDS:
            raise node.refusal("this activation", name)
        alpha = next(alphas, _ALPHA[kind]) if kind in _ALPHA else 0.0
        beta = next(betas, _BETA[kind]) if kind in _BETA else 0.0
        yield _bound(_KINDS[kind], alpha, beta)


def _bound(kind: Callable[[Tensor, float, float], Tensor], alpha: float, beta: float) -> Function:
    return lambda x: kind(x, alpha, beta)


def _same(x: Tensor) -> Tensor:
    return x


OPERATORS: dict[str, Operator] = dict.fromkeys(_STEPS, recurrent)
