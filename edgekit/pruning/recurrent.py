"""Recurrent layers fitted anew: the gates, on the states that the pruned layer itself goes through.

What a gate adds up before its activation is affine in the input and the state before,

    LSTM, RNN, z and r of GRU:        a_t = W x_t + R h_(t-1) + b
    n of GRU, reset before:           a_t = W x_t + R (r_t * h_(t-1)) + b
    n of GRU, linear before reset:    W x_t + b   and   R h_(t-1) + c, each by itself

so each is a ridge regression to what the dense layer adds up at the same step. The states that it
reads depend on the result: the first fit reads the dense states, each later one those of the layer
as fitted so far; the states that come nearest to the dense ones on held-out data decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from scipy.special import expit

from edgekit.layerwise.columns import some_positions
from edgekit.layerwise.stepwise import Stepwise
from edgekit.pruning.cells import Cell, CellWeights
from edgekit.pruning.fitting import LayerFit, Moments, left
from edgekit.pruning.gram import rows_wanted, with_ones
from edgekit.pruning.ridge import solve

Array = npt.NDArray[Any]
_ROUNDS = 5


def fit_cell(
    dense: Stepwise, pruned: Stepwise, cell: Cell, kept: npt.NDArray[np.int64] | None
) -> tuple[dict[str, Array], LayerFit]:
    """Return the initializers to change, and what became of the cell.

    Args:
        dense: not yet past the cell, as `pruned`.
        pruned: what its weights belong to.
        cell: of the pruned graph.
        kept: the units that stay; None for all.
    """
    dense.advance([cell.data, cell.output])
    pruned.advance([cell.data])
    whole = CellWeights.of(dense.graph, cell)
    sliced = fitted = taken = CellWeights.of(pruned.graph, cell)
    units = np.arange(whole.hidden) if kept is None else kept
    before = best = math.nan
    for number in range(_ROUNDS):
        sums, error = _round(dense, pruned, cell, units, (whole, fitted), guided=number == 0)
        if number == 0:
            before = best = error
        elif error < best:
            best, taken = error, fitted
        fitted = _solved(cell, sums, sliced)
    if taken is sliced:
        return {}, left(cell.node, before, "fitted gates are no better on held-out data")
    changed = {
        name: new.astype(old.dtype)
        for name, new, old in (
            (cell.weight, taken.inputs, sliced.inputs),
            (cell.recurrence, taken.states, sliced.states),
            (cell.bias, taken.bias, sliced.bias),
        )
    }
    reason = "gates by ridge on its own states"
    return changed, LayerFit(
        node=cell.node, before=before, after=best, accepted=True, reason=reason
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Gates that are fitted together, to the same columns."""

    gates: tuple[int, ...]
    inputs: bool
    states: bool
    after_reset: bool = False


def _pieces(cell: Cell) -> tuple[_Piece, ...]:
    if not cell.reset:
        return (_Piece(gates=tuple(range(cell.gates)), inputs=True, states=True),)
    first = _Piece(gates=(0, 1), inputs=True, states=True)
    if cell.reset == "before":
        return first, _Piece(gates=(2,), inputs=True, states=True, after_reset=True)
    by_input = _Piece(gates=(2,), inputs=True, states=False)
    return first, by_input, _Piece(gates=(2,), inputs=False, states=True)


def _round(
    dense: Stepwise,
    pruned: Stepwise,
    cell: Cell,
    units: Array,
    weights: tuple[CellWeights, CellWeights],
    *,
    guided: bool,
) -> tuple[list[list[Moments]], float]:
    """Run the cell with some weights; return sums for the next ones, and the error of its states.

    Args:
        dense: past the cell.
        pruned: at the cell.
        cell: what runs.
        units: of the dense cell, those that stay.
        weights: of the dense cell, and those that run.
        guided: the sums are over the dense cell's states, not over its own.

    Returns:
        Sums for each direction and piece, and the share of the variance of the dense states that
        is missed on held-out data.
    """
    whole, current = weights
    pieces = _pieces(cell)
    session = _session(pruned, cell, current)
    wide, narrow = current.inputs.shape[2], current.hidden
    sums = [
        [
            Moments.empty(1, len(p.gates) * narrow, p.inputs * wide + p.states * narrow + 1)
            for p in pieces
        ]
        for _ in cell.backward
    ]
    spread, total = _Spread(), sum(part.size for part in pruned.parts)
    for part in pruned.parts:
        x, own_x = dense.read(cell.data, part), pruned.read(cell.data, part)
        states = dense.read(cell.output, part)
        (own,) = session.run(None, {cell.data: own_x})
        if part.held_out:
            spread.add(states[..., units], own)
            continue
        count = math.ceil(rows_wanted(wide + narrow) * part.size / total)
        at = some_positions(cell.node, part.number, x.shape[0] * x.shape[1], count)
        for direction, backward in enumerate(cell.backward):
            h = _at(_earlier(states[:, direction], backward=backward), at)
            own_h = (
                h[:, units] if guided else _at(_earlier(own[:, direction], backward=backward), at)
            )
            step = _Step(direction=direction, x=_at(x, at), h=h, own_x=_at(own_x, at), own_h=own_h)
            for piece, moments in zip(pieces, sums[direction], strict=True):
                rows = _rows(piece, step, current)
                moments.add(with_ones(rows[None]), _wanted(piece, step, whole, units))
    return sums, spread.missed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Some steps of one direction: the inputs and the states before them, dense and pruned."""

    direction: int
    x: Array
    h: Array
    own_x: Array
    own_h: Array


@dataclass(slots=True)
class _Spread:
    """Squared errors, and sums for the variance of what is wanted."""

    error: float = 0.0
    energy: float = 0.0
    total: npt.NDArray[np.float64] | float = 0.0
    count: int = 0

    def add(self, wanted: Array, made: Array) -> None:
        self.error += float(np.square(made - wanted, dtype=np.float64).sum())
        self.energy += float(np.square(wanted, dtype=np.float64).sum())
        self.total = self.total + wanted.sum(axis=(0, 2), dtype=np.float64)
        self.count += wanted.shape[0] * wanted.shape[2]

    @property
    def missed(self) -> float:
        variance = self.energy - float(np.square(self.total).sum()) / max(self.count, 1)
        return self.error / variance if variance > 0 else self.error


def _rows(piece: _Piece, step: _Step, current: CellWeights) -> Array:
    """Return what a piece of the pruned cell reads, shape (positions, columns)."""
    h = step.own_h
    if piece.after_reset:
        reset = np.arange(current.hidden, 2 * current.hidden)
        h = expit(sum(current.adds(step.direction, step.own_x, h, reset))) * h
    parts = [step.own_x] * piece.inputs + [h] * piece.states
    return np.concatenate(parts, axis=1)


def _wanted(piece: _Piece, step: _Step, whole: CellWeights, units: Array) -> Array:
    """Return what the dense cell adds up for the gates of a piece, shape (positions, outputs)."""
    gates = np.concatenate([gate * whole.hidden + units for gate in piece.gates])
    h = step.h
    if piece.after_reset:
        reset = np.arange(whole.hidden, 2 * whole.hidden)
        h = expit(sum(whole.adds(step.direction, step.x, h, reset))) * h
    by_input, by_state = whole.adds(step.direction, step.x, h, gates)
    made: Array = by_input * piece.inputs + by_state * piece.states
    return made


def _solved(cell: Cell, sums: list[list[Moments]], prior: CellWeights) -> CellWeights:
    """Return the ridge regressions toward `prior`."""
    inputs, states, bias = prior.inputs.copy(), prior.states.copy(), prior.bias.copy()
    hidden, wide = prior.hidden, prior.inputs.shape[2]
    for direction, by_piece in enumerate(sums):
        of_inputs, of_states = np.split(bias[direction], 2)
        for piece, moments in zip(_pieces(cell), by_piece, strict=True):
            gates = np.concatenate([gate * hidden + np.arange(hidden) for gate in piece.gates])
            parts = [inputs[direction, gates]] * piece.inputs
            parts += [states[direction, gates]] * piece.states
            shift = of_inputs[gates] * piece.inputs + of_states[gates] * piece.states
            fitted, shift = solve(
                moments.gram[0], moments.cross[0], np.concatenate(parts, axis=1), shift
            )
            if piece.inputs:
                inputs[direction, gates] = fitted[:, :wide]
                of_inputs[gates] = shift
            if piece.states:
                states[direction, gates] = fitted[:, wide * piece.inputs :]
                of_states[gates] = 0 if piece.inputs else shift
    return CellWeights(inputs=inputs, states=states, bias=bias)


def _earlier(states: Array, *, backward: bool) -> Array:
    """Return the state before each step, shape (steps, batch, hidden); zeros before the first."""
    start = np.zeros_like(states[:1])
    return np.concatenate([states[1:], start] if backward else [start, states[:-1]])


def _at(values: Array, positions: Array) -> Array:
    return values.reshape(-1, values.shape[-1])[positions]


def _session(network: Stepwise, cell: Cell, weights: CellWeights) -> Any:
    """Return a session of the cell alone, with these weights."""
    values = ir.convenience.create_value_mapping(network.graph, include_subgraphs=False)
    alone = ir.convenience.extract(network.graph, [values[cell.data]], [values[cell.output]])
    for name, array in (
        (cell.weight, weights.inputs),
        (cell.recurrence, weights.states),
        (cell.bias, weights.bias),
    ):
        like = alone.initializers[name].const_value
        alone.initializers[name].const_value = ir.tensor(
            array if like is None else array.astype(like.dtype.numpy()), name=name
        )
    return network.session_of(alone)
