"""Questions about a graph, and the one change that all need: names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_SCALARS = {"value_float": np.float32, "value_int": np.int64}
_LISTS = {"value_floats": np.float32, "value_ints": np.int64}


def constant_of(value: ir.Value) -> NDArray[Any] | None:
    """Return the array that `value` always holds, None when it depends on the input.

    Covers: 1. an initializer, even one listed as a graph input; 2. a Constant node of numbers;
    3. Identity of a constant; 4. DequantizeLinear of constants, per tensor or per channel;
    5. Cast of a constant of 4-bit integers to int8.
    """
    if value.const_value is not None and value.is_initializer():
        return value.const_value.numpy()
    node = value.producer()
    if node is None or node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type == "Constant":
        return _attribute_array(node)
    if node.op_type == "Identity" and node.inputs[0] is not None:
        return constant_of(node.inputs[0])
    if node.op_type in _COMPUTED:
        return _COMPUTED[node.op_type](node)
    return None


def read_by(node: ir.Node) -> list[ir.Value]:
    """Return what a node reads: its inputs, and what its branches and bodies read and hand out."""
    read = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs = [attribute.as_graph()]
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs = list(attribute.as_graphs())
        else:
            continue
        for inner in (inner for graph in graphs for inner in graph.all_nodes()):
            read.extend(value for value in inner.inputs if value is not None)
        read.extend(value for graph in graphs for value in graph.outputs)
    return read


def name_nodes(model: ir.Model) -> None:
    """Give every node of the main graph and its subgraphs a name of its own, in place.

    A name that is unique stays; the others become `<op_type>_<number>`, numbered in graph order,
    so the same graph gets the same names.
    """
    taken: set[str] = set()
    unnamed = []
    for node in model.graph.all_nodes():
        if node.name and node.name not in taken:
            taken.add(node.name)
        else:
            unnamed.append(node)
    counts: dict[str, int] = {}
    for node in unnamed:
        while True:
            number = counts[node.op_type] = counts.get(node.op_type, -1) + 1
            name = f"{node.op_type}_{number}"
            if name not in taken:
                break
        node.name = name
        taken.add(name)


def _attribute_array(node: ir.Node) -> NDArray[Any] | None:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            return None
        if name == "value":
            return attribute.as_tensor().numpy()
        if name in _SCALARS:
            return np.array(attribute.value, _SCALARS[name])
        if name in _LISTS:
            return np.array(attribute.value, _LISTS[name])
    return None


def _dequantized(node: ir.Node) -> NDArray[Any] | None:
    parts = [None if value is None else constant_of(value) for value in node.inputs]
    if len(parts) < 2 or parts[0] is None or parts[1] is None:  # noqa: PLR2004  # data and scale
        return None
    data, scale = parts[0], parts[1]
    zero_point = parts[2] if len(parts) > 2 and parts[2] is not None else np.zeros_like(scale)  # noqa: PLR2004  # the third
    if node.attributes.get_int("block_size", 0):
        return None
    if scale.ndim == 1 and scale.size > 1:
        shape = [1] * data.ndim
        shape[node.attributes.get_int("axis", 1)] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    real: NDArray[Any] = (data.astype(np.float32) - zero_point.astype(np.float32)) * scale
    return real


def _widened(node: ir.Node) -> NDArray[Any] | None:
    source, wanted = node.inputs[0], node.attributes.get_int("to", 0)
    if source is None or source.dtype != ir.DataType.INT4 or wanted != ir.DataType.INT8:
        return None
    narrow = constant_of(source)
    return None if narrow is None else narrow.astype(np.int8)


_COMPUTED = {"DequantizeLinear": _dequantized, "Cast": _widened}
