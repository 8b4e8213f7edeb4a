"""Rules that make int8 kernels; each changes one operator and says whether it did."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .graph import Graph
from .grids import grid

_MOVES = frozenset(
    ("EXPAND_DIMS", "PAD", "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE")
)
_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The axis of output channels of the weight."""
_BINARY = frozenset(("ADD", "MUL", "SUB"))
"""No activation is here: XNNPACK has no int8 HardSwish, and on a mobile network 18 of them in
TFLite's own kernel took 1.4 ms where float ones between int8 convolutions took 0.2."""
_MEAN = "MEAN"
_SAME_GRID = frozenset(("AVERAGE_POOL_2D", "MAX_POOL_2D"))
_BIAS = 2


def move_int8(graph: Graph, op: Any) -> bool:
    """Let what only moves values move integers."""
    if graph.kind(op) not in _MOVES:
        return False
    source, out = graph.source(op.inputs[0]), int(op.outputs[0])
    if source is not None and graph.tensor(out).type == schema.TensorType.FLOAT32:
        moved = graph.add(out, graph.tensor(out).shape, graph.tensor(source).quantization)
        op.inputs, op.outputs = [source, *op.inputs[1:]], [moved]
        graph.become(op, graph.kind(op))
        graph.replace(op, [op, graph.node("DEQUANTIZE", [moved], out)])
        return True
    quantize = graph.only_quantize(out)
    if quantize is None:
        return False
    read, written = int(op.inputs[0]), int(quantize.outputs[0])
    entering = graph.add(read, graph.tensor(read).shape, graph.tensor(written).quantization)
    graph.replace(quantize, [])
    op.inputs, op.outputs = [entering, *op.inputs[1:]], [written]
    graph.become(op, graph.kind(op))
    graph.replace(op, [graph.node("QUANTIZE", [read], entering), op])
    return True


def same_grid(graph: Graph, op: Any) -> bool:
    """Drop a Dequantize and Quantize between two equal grids."""
    if graph.kind(op) != "QUANTIZE" or op.outputs[0] in graph.of.outputs:
        return False
    source = graph.source(op.inputs[0])
    if source is None:
        return False
    mine, other = (graph.tensor(at).quantization for at in (source, op.outputs[0]))
    if mine.scale[0] != other.scale[0] or mine.zeroPoint[0] != other.zeroPoint[0]:
        return False
    graph.replace(op, [])
    graph.read_instead(int(op.outputs[0]), source)
    return True


def int8_kernel(graph: Graph, op: Any) -> bool:
    """Make an int8 kernel of a float one between the grids."""
    kind, out = graph.kind(op), int(op.outputs[0])
    quantize = graph.only_quantize(out)
    sources = [graph.source(at) for at in op.inputs[: 2 if kind in _BINARY else 1]]
    if quantize is None or None in sources:
        return False
    inputs = [*sources, *op.inputs[len(sources) :]]
    written = int(quantize.outputs[0])
    if kind in _SAME_GRID:
        grids = [graph.tensor(at).quantization for at in (inputs[0], written)]
        if grids[0].scale[0] != grids[1].scale[0] or grids[0].zeroPoint[0] != grids[1].zeroPoint[0]:
            return False
    elif kind in _WEIGHTED:
        axis = _WEIGHTED[kind]
        found = graph.weight(int(op.inputs[1]), axis)
        if found is None:
            return False
        inputs[1] = graph.add(int(op.inputs[1]), found[0].shape, grid(found[1], axis), found[0])
        if len(inputs) > _BIAS and inputs[_BIAS] >= 0:
            bias = graph.constant(inputs[_BIAS])
            if bias is None:
                return False
            steps = found[1].astype(np.float64) * graph.scale(inputs[0])
            integers = np.rint(bias.reshape(-1) / steps).astype(np.int32)
            inputs[_BIAS] = graph.add(inputs[_BIAS], integers.shape, grid(steps), integers)
    elif kind not in _BINARY and kind != _MEAN:
        return False
    op.inputs, op.outputs = inputs, [written]
    graph.become(op, kind)
    graph.replace(quantize, [])
    graph.fused[kind] += 1
    return True


def int8_weights(graph: Graph, op: Any) -> bool:
    """Make a FullyConnected with int8 weights of a float matrix product with a constant."""
    kind = graph.kind(op)
    if kind not in ("BATCH_MATMUL", "FULLY_CONNECTED") or graph.constant(op.inputs[1]) is None:
        return False
    at = int(op.inputs[1])
    values = graph.constant(at)
    plain = kind == "FULLY_CONNECTED" or not (op.builtinOptions.adjX or op.builtinOptions.adjY)
    if values is None or values.ndim != 2 or not plain:  # noqa: PLR2004  # a matrix
        return False
    by_input = kind == "BATCH_MATMUL"
    found = graph.weight(at, 1 if by_input else 0)
    if found is None:
        return False
    integers = np.ascontiguousarray(found[0].T if by_input else found[0])
    weight = graph.add(at, integers.shape, grid(found[1]), integers)
    if by_input:
        op.inputs = [op.inputs[0], weight, -1]
        op.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        op.builtinOptions = schema.FullyConnectedOptionsT()
        op.builtinOptions.keepNumDims = True
    else:
        op.inputs = [op.inputs[0], weight, *op.inputs[2:]]
    graph.become(op, "FULLY_CONNECTED")
    graph.fused["weights of FULLY_CONNECTED"] += 1
    graph.index()
    return True


def plain_float(graph: Graph, op: Any) -> bool:
    """Drop a Quantize whose integers are only turned back into floats."""
    if graph.kind(op) != "QUANTIZE" or graph.tensor(op.inputs[0]).type == schema.TensorType.INT8:
        return False
    readers = graph.readers.get(op.outputs[0], [])
    if op.outputs[0] in graph.of.outputs or any(graph.kind(r) != "DEQUANTIZE" for r in readers):
        return False
    if any(r.outputs[0] in graph.of.outputs for r in readers):
        return False
    graph.replace(op, [])
    for reader in list(readers):
        graph.replace(reader, [])
        graph.read_instead(int(reader.outputs[0]), int(op.inputs[0]))
    return True
