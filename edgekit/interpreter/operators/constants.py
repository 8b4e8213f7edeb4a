"""Values that come of no data: constants, shapes, ranges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import Array, ints, tensor_of, type_of

_TYPES = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def constant(node: Node) -> Array:
    """A tensor, or plain numbers."""
    if "value" in node.attributes:
        return np.asarray(node.attributes["value"])
    for name, dtype in _TYPES.items():
        if name in node.attributes:
            return np.array(node.attributes[name], dtype)
    raise node.refusal("this value", ", ".join(node.attributes))


def constant_of_shape(node: Node, shape: Tensor) -> Array | Tensor:
    """Zeros when no value is given."""
    value = node.get("value")
    filler = tensor_of(np.zeros(1, np.float32) if value is None else np.asarray(value))
    return filler.reshape(-1)[0].expand(ints(shape)).clone()


def shape(node: Node, x: Tensor) -> Array:
    """Of some axes since opset 15."""
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


def eye_like(node: Node, x: Tensor) -> Tensor:
    """Ones on a diagonal."""
    dtype = type_of(node.get("dtype")) if "dtype" in node.attributes else x.dtype
    ones = torch.ones(x.shape, dtype=torch.int64)
    offset = node.get("k", 0)
    return torch.triu(torch.tril(ones, offset), offset).to(dtype)


def arange(_: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """As numpy's, in the type of the inputs."""
    return tensor_of(np.arange(start.item(), limit.item(), delta.item())).to(start.dtype)


OPERATORS: dict[str, Operator] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "EyeLike": eye_like,
    "Range": arange,
    "Shape": shape,
    "Size": lambda _, x: np.array(x.numel(), np.int64),
}
