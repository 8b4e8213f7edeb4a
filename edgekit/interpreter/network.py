"""A graph that torch runs and differentiates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgekit.errors import EdgekitError, ModelError
from edgekit.interpreter.node import Node, Tap, kind_of, node_of
from edgekit.interpreter.operators import OPERATORS, RECURRENT
from edgekit.interpreter.values import Array, Value, array_of, tensor_of

_FLOATS = {ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
_LONGEST = 200


def unsupported(model: ir.Model) -> dict[str, int]:
    """Return the operators of a graph that are not covered, and how many nodes have each."""
    kinds = Counter(kind_of(node) for node in model.graph)
    return {kind: count for kind, count in sorted(kinds.items()) if kind not in OPERATORS}


class Network:
    """A graph that torch runs and differentiates.

    Float initializers are parameters, whatever reads them. Constants, integers and all that is
    computed of them and of shapes stay arrays, so a shape never depends on what is trained. A
    weight in a Constant node is a constant: simplification makes it an initializer. Operators
    behave as at inference: batch norm uses its statistics, dropout passes on.

    Attributes:
        parameters: by initializer name; leaves that want a gradient. May be changed in place.
    """

    def __init__(self, model: ir.Model) -> None:
        """Take in a graph.

        Args:
            model: unchanged; its weights are copied.

        Raises:
            ModelError: it has operators that are not covered; all are named and counted.
        """
        missing = unsupported(model)
        if missing:
            counted = ", ".join(f"{kind} ({count})" for kind, count in missing.items())
            raise ModelError("has operators that torch cannot run here", found=counted)
        graph, opset = model.graph, model.opset_imports.get("", 1)
        self.parameters: dict[str, Tensor] = {}
        self._types = {name: value.dtype for name, value in graph.initializers.items()}
        self._constants: dict[str, Value] = {}
        for name, value in graph.initializers.items():
            if value.const_value is None:
                continue
            array = value.const_value.numpy()
            if value.const_value.dtype in _FLOATS:
                self.parameters[name] = tensor_of(array).clone().requires_grad_()
            else:
                self._constants[name] = _own(array)
        self._nodes: list[Node] = []
        for one in graph:
            node = node_of(one, opset)
            if node.kind == "Constant":
                made = OPERATORS[node.kind](node)
                if isinstance(made, np.ndarray):
                    self._constants[node.outputs[0]] = _own(made)
            else:
                self._nodes.append(node)
            for index, value in enumerate(one.outputs):
                self._types[value.name or ""] = value.dtype or _type_made(one, index)
        self._outputs = [value.name or "" for value in graph.outputs]

    def run(
        self,
        feeds: Mapping[str, Value],
        names: Sequence[str] | None = None,
        taps: Mapping[tuple[str, str], Tap] | None = None,
    ) -> dict[str, Tensor]:
        """Return named values of one run, differentiable in the parameters and in float feeds.

        Args:
            feeds: by graph input; arrays or tensors.
            names: any values of the graph; by default its outputs.
            taps: by (node, value it reads), what it shall read instead. The value a recurrent
                node reads at each step is named by its first output: the state, shape
                (samples, hidden).

        Raises:
            ModelError: an operator is used in a way that is not covered; a name is unknown.
        """
        wanted = list(self._outputs if names is None else names)
        values: dict[str, Value] = {**self._constants, **self.parameters}
        values |= {name: tensor_of(value) for name, value in feeds.items()}
        plan = self._plan(wanted, values)
        last = {name: index for index, node in enumerate(plan) for name in node.inputs}
        kept = {*wanted, *self.parameters, *self._constants}
        for index, node in enumerate(plan):
            inputs = [_read(node, name, values, taps or {}) for name in node.inputs]
            for name, value in zip(node.outputs, _computed(node, inputs, taps or {}), strict=False):
                if name and value is not None:
                    values[name] = value
            for name in node.inputs:
                if last[name] == index and name not in kept:
                    values.pop(name, None)
        return {name: self._typed(name, values[name]) for name in wanted}

    def weights(self) -> dict[str, Array]:
        """Return the parameters as arrays of the types that their initializers have."""
        return {
            name: array_of(tensor).copy()
            if tensor.dtype != torch.bfloat16
            else array_of(tensor).astype(ir.DataType.BFLOAT16.numpy())
            for name, tensor in self.parameters.items()
        }

    def _plan(self, wanted: Iterable[str], known: Mapping[str, Value]) -> list[Node]:
        """Return the nodes that `wanted` depends on, in graph order."""
        missing = {name for name in wanted if name not in known}
        plan: list[Node] = []
        for node in reversed(self._nodes):
            if missing.isdisjoint(node.outputs):
                continue
            missing.difference_update(node.outputs)
            missing.update(name for name in node.inputs if name and name not in known)
            plan.append(node)
        if missing:
            raise ModelError("is no value of the graph, and was not fed", where=min(missing))
        return plan[::-1]

    def _typed(self, name: str, value: Value) -> Tensor:
        """Return a value as a tensor of its type: quantized ones are floats on the way."""
        tensor, dtype = tensor_of(value), self._types.get(name)
        if dtype is None or dtype in _FLOATS or not tensor.is_floating_point():
            return tensor
        return tensor_of(array_of(tensor).astype(dtype.numpy()))


def _own(array: Array) -> Array:
    return array if array.flags.writeable and array.flags.c_contiguous else array.copy(order="C")


def _type_made(node: ir.Node, index: int) -> ir.DataType | None:
    """Return the type of an output that is a float on the way; None of all others."""
    if node.op_type == "DynamicQuantizeLinear":
        return ir.DataType.UINT8 if index != 1 else None
    if node.op_type != "QuantizeLinear":
        return None
    point = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004  # the third
    given = node.attributes.get_int("output_dtype", 0)
    if given:
        return ir.DataType(given)
    return ir.DataType.UINT8 if point is None else point.dtype


def _read(
    node: Node, name: str, values: Mapping[str, Value], taps: Mapping[tuple[str, str], Tap]
) -> Value | None:
    if not name:
        return None
    value, tap = values[name], taps.get((node.name, name))
    return value if tap is None else tap(tensor_of(value))


def _computed(
    node: Node, inputs: Sequence[Value | None], taps: Mapping[tuple[str, str], Tap]
) -> tuple[Value | None, ...]:
    """Return a node's outputs: arrays when it reads nothing but arrays."""
    if taps and node.kind in RECURRENT:
        states = (taps[node.name, name] for name in node.outputs if (node.name, name) in taps)
        node = replace(node, state=next(states, None))
    tensors = [None if value is None else tensor_of(value) for value in inputs]
    try:
        made = OPERATORS[node.kind](node, *tensors)
    except EdgekitError:
        raise
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(str(error)) from None
        raise ModelError(
            f"torch cannot run {node.kind}", where=node.name, found=_short(error)
        ) from error
    outputs = made if isinstance(made, tuple) else (made,)
    if any(isinstance(value, Tensor) for value in inputs):
        return outputs
    return tuple(array_of(one) if isinstance(one, Tensor) else one for one in outputs)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
