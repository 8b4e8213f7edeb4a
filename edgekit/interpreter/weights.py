"""Trained weights go back into the graph they came from, by initializer name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph import Model


def with_weights(model: Model, weights: Mapping[str, npt.NDArray[Any]]) -> Model:
    """Return the model with new values in some initializers; nothing else of the graph changes.

    Args:
        model: unchanged; weights that are not given, or are given as they were, are shared.
        weights: by initializer name, in its shape and type, as `Network.weights` returns them.

    Raises:
        ModelError: there is no such initializer, or its shape or type is another.
    """
    edited = model.editable()
    for name, array in weights.items():
        value = edited.graph.initializers.get(name)
        before = None if value is None or value.const_value is None else value.const_value.numpy()
        if value is None or before is None:
            raise ModelError("has no initializer to put trained weights in", where=name)
        if (before.shape, before.dtype) != (array.shape, array.dtype):
            raise ModelError(
                "trained weights do not fit the initializer",
                where=name,
                found=f"{array.dtype}{list(array.shape)}",
                expected=f"{before.dtype}{list(before.shape)}",
            )
        if before.tobytes() != array.tobytes():
            value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)
    return Model(ir=edited, name=model.name)
