"""Recurrent nodes with constant weights, and what their gates add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[Any]

_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
_LENGTHS, _STATE, _PEEPHOLES = 4, 5, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A recurrent node with constant weights; every step's input is data[step, batch].

    Attributes:
        node: its name.
        data: the activation it reads, shape (steps, batch, inputs).
        output: its states, shape (steps, directions, batch, hidden).
        weight, recurrence, bias: initializers, as ONNX stores them.
        gates: per unit.
        backward: for each direction whether it goes from the last step to the first.
        reset: how a GRU's new gate reads the state: `before` or `after` the reset is applied;
            empty for other cells.
    """

    node: str
    data: str
    output: str
    weight: str
    recurrence: str
    bias: str
    gates: int
    backward: tuple[bool, ...]
    reset: str = ""

    @property
    def axis(self) -> int:
        """The axis of the units in the output."""
        return 3


def is_recurrent(node: ir.Node) -> bool:
    """Say whether the node is a GRU, an LSTM or an RNN."""
    return node.op_type in _GATES and node.domain in {"", "ai.onnx"}


def cell_of(node: ir.Node) -> Cell | str:
    """Return a recurrent node as a cell; or why it is none that can be fitted."""
    inputs = [*node.inputs, *([None] * 8)]
    if any(inputs[index] is not None for index in (_LENGTHS, _STATE, _STATE + 1, _PEEPHOLES)):
        return "sequence lengths, initial states or peepholes are given"
    constants = inputs[1:4]
    if any(v is None or v.const_value is None or len(v.uses()) != 1 for v in constants):
        return "its weights are computed or shared"
    if node.attributes.get_int("layout", 0) or "activations" in node.attributes:
        return "another layout or other activations than usual"
    direction = node.attributes.get_string("direction", "forward")
    names = [value.name or "" for value in inputs[:4] if value is not None]
    after = node.attributes.get_int("linear_before_reset", 0)
    return Cell(
        node=node.name or "",
        data=names[0],
        output=node.outputs[0].name or "",
        weight=names[1],
        recurrence=names[2],
        bias=names[3],
        gates=_GATES[node.op_type],
        backward={"forward": (False,), "reverse": (True,)}.get(direction, (False, True)),
        reset="" if node.op_type != "GRU" else "after" if after else "before",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellWeights:
    """W, R and B as ONNX stores them: directions first, then gates * hidden; B is W's, then R's."""

    inputs: Array
    states: Array
    bias: Array

    @classmethod
    def of(cls, graph: ir.Graph, cell: Cell) -> CellWeights:
        """Return the weights that a cell has in a graph, as float32."""
        arrays = []
        for name in (cell.weight, cell.recurrence, cell.bias):
            tensor = graph.initializers[name].const_value
            if tensor is None:
                raise TypeError(name)
            arrays.append(tensor.numpy().astype(np.float32))
        return cls(inputs=arrays[0], states=arrays[1], bias=arrays[2])

    @property
    def hidden(self) -> int:
        """How many units a direction has."""
        return int(self.states.shape[2])

    def adds(self, direction: int, x: Array, h: Array, units: Array) -> tuple[Array, Array]:
        """Return what input and state add to gates of these rows, each with its bias."""
        of_inputs, of_states = np.split(self.bias[direction], 2)
        return (
            x @ self.inputs[direction, units].T + of_inputs[units],
            h @ self.states[direction, units].T + of_states[units],
        )
