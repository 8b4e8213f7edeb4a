"""Activations as functions of an array: what alone is read of what a layer makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from scipy import special

from edgekit.graph.surgery import constant_of

Array = npt.NDArray[np.floating]
_GATES = {"Sigmoid", "HardSigmoid"}
_LOWEST, _HIGHEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An activation, applied to each element by itself.

    Attributes:
        operator: its ONNX name.
        parameters: its attributes or constants, in the order of the operator's specification.
        gating: x is multiplied by it, as in SiLU.
    """

    operator: str
    parameters: tuple[float, ...] = ()
    gating: bool = False

    def __call__(self, values: Array) -> Array:
        """Return the activation of `values`, in their shape and type."""
        made = _FUNCTIONS[self.operator](values, *self.parameters)
        found: Array = values * made if self.gating else made
        return found.astype(values.dtype, copy=False)


RELU = Response(operator="Relu")


def response_to(value: ir.Value) -> Response | None:
    """Return the activation through which alone `value` is read; None where there is none.

    An activation is one node, or a gate of x multiplied by x itself.
    """
    readers = value.consumers()
    if value.is_graph_output() or not readers:
        return None
    found = {_response(reader, value) for reader in readers}
    if len(found) == 1:
        return found.pop()
    gates = [reader for reader in readers if reader.op_type in _GATES]
    products = [reader for reader in readers if reader.op_type == "Mul"]
    if len(gates) == len(products) == 1 and len(readers) == len(gates) + len(products):
        (product,) = products
        made = gates[0].outputs[0]
        alone = len(made.consumers()) == 1 and not made.is_graph_output()
        if alone and set(product.inputs) == {value, made}:
            gate = _response(gates[0], value)
            return gate and Response(
                operator=gate.operator, parameters=gate.parameters, gating=True
            )
    return None


def _response(node: ir.Node, value: ir.Value) -> Response | None:
    if node.domain not in {"", "ai.onnx"} or node.op_type not in _FUNCTIONS:
        return None
    if node.inputs[0] is not value:
        return None
    if node.op_type == "Clip":
        bounds = _bounds(node)
        return None if bounds is None else Response(operator="Clip", parameters=bounds)
    if node.attributes.get_string("approximate", "none") != "none":
        return None
    given = tuple(
        node.attributes.get_float(name, default)
        for name, default in _ATTRIBUTES.get(node.op_type, ())
    )
    return Response(operator=node.op_type, parameters=given)


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return the limits of a Clip; None where they are computed."""
    found = [
        node.attributes.get_float("min", _LOWEST),
        node.attributes.get_float("max", _HIGHEST),
    ]
    for index, value in enumerate(node.inputs[1:]):
        bound = None if value is None else constant_of(value)
        if value is not None and bound is None:
            return None
        found[index] = found[index] if bound is None else float(bound.item())
    return found[0], found[1]


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x: Array) -> Array:
    made: Array = 0.5 * x * (1 + special.erf(x / np.sqrt(2)))
    return made


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    made: Array = np.clip(alpha * x + beta, 0, 1)
    return made


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Clip": np.clip,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": special.expit,
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Swish": lambda x, alpha: x * special.expit(alpha * x),
    "Tanh": np.tanh,
}
_ATTRIBUTES: dict[str, Sequence[tuple[str, float]]] = {
    "Elu": (("alpha", 1.0),),
    "HardSigmoid": (("alpha", 0.2), ("beta", 0.5)),
    "LeakyRelu": (("alpha", 0.01),),
    "Swish": (("alpha", 1.0),),
}
