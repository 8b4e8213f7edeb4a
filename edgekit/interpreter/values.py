"""Values on their way through a graph: tensors of torch, and arrays for all that is shape-like."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgekit.errors import ModelError

Array = npt.NDArray[Any]
Value: TypeAlias = Tensor | Array
"""An array is a constant or was computed of constants and shapes; a tensor depends on data."""

TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""Element types of ONNX, by number."""

_BFLOAT16 = "bfloat16"


def tensor_of(value: Value) -> Tensor:
    """Return a value as a tensor; the memory of a writable array is shared.

    Raises:
        ModelError: torch has no such element type.
    """
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype.name == _BFLOAT16:
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy(order="C")
    try:
        return torch.from_numpy(array)
    except TypeError:
        raise ModelError(
            "has an element type that cannot be trained", found=array.dtype.name
        ) from None


def array_of(tensor: Tensor) -> Array:
    """Return a tensor as an array, without its gradient; bfloat16 as float32."""
    plain = tensor.detach().cpu()
    array: Array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return array


def type_of(number: int) -> torch.dtype:
    """Return torch's element type of ONNX's number for it.

    Raises:
        ModelError: torch has none, or no arithmetic on it.
    """
    if number not in TYPES:
        raise ModelError("has an element type that cannot be trained", found=f"type {number}")
    return TYPES[number]


def ints(value: Value | None) -> list[int]:
    """Return a list of numbers, as of axes or a shape; empty when there is none."""
    if value is None:
        return []
    return [int(number) for number in np.ravel(value.tolist())]


def number(value: Value) -> float:
    """Return the only element."""
    return float(value.item())
