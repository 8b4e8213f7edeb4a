"""What an engine takes: operators, versions, types and restrictions, node by node.

The lists of operators are facts of the target; what restricts a listed operator stands in the
module of the engine's name.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.linting import dla, tensorrt, xnnpack
from edgekit.linting.finding import Finding, Severity, at
from edgekit.linting.restriction import Restriction
from edgekit.target import Engine

_RESTRICTIONS: dict[str, dict[str, Restriction]] = {
    "tensorrt": tensorrt.RESTRICTIONS,
    "dla": dla.RESTRICTIONS,
    "xnnpack": xnnpack.RESTRICTIONS,
}
_ONNX = ("", "ai.onnx")
_REMEDY = "put operators that it takes in its place, or accept that"
_PAIRS = ("QuantizeLinear", "DequantizeLinear")
_SHAPE_TYPES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


def engine_findings(model: Model, engine: Engine, *, asked: bool) -> Iterator[Finding]:
    """Yield what `engine` would not take of `model`.

    Args:
        model: with shapes and types inferred.
        engine: whose facts count.
        asked: the user asked for it by name, beside the runtime that runs the whole; so an opset
            that it does not know is no refusal, and shape arithmetic is left to the runtime.
    """
    low, high = engine.opsets
    if not low <= model.opset <= high:
        severity: Severity = "fallback" if asked else "reject"
        what = f"opset {model.opset}; {engine.title} takes {low} to {high}"
        remedy = f"export the model in opset {min(max(model.opset, low), high)}"
        yield Finding(severity=severity, where="opset", what=what, remedy=remedy)
    for node in model.ir.graph.all_nodes():
        if asked and (_is_shape_arithmetic(node) or node.op_type in _PAIRS):
            continue
        what = _refusal(node, engine)
        if what:
            what = f"{what}; it runs on {engine.otherwise}"
            yield at(node, "fallback", what, _REMEDY)
    if engine.name == "tensorrt":
        yield from tensorrt.type_findings(model)
    if engine.name == "dla":
        yield from dla.graph_findings(model)


def _refusal(node: ir.Node, engine: Engine) -> str:
    """Return why the engine leaves this node to others; empty where it takes it."""
    if node.domain not in _ONNX:
        return f"{node.domain}.{node.op_type} is no operator of ONNX; {engine.title} takes no other"
    if node.op_type not in engine.operators:
        return f"{engine.title} takes no {node.op_type}"
    restriction = _RESTRICTIONS[engine.name].get(node.op_type)
    reason = restriction(node) if restriction is not None else None
    return f"{engine.title}, {node.op_type}: {reason}" if reason else ""


def _is_shape_arithmetic(node: ir.Node) -> bool:
    return all(value.dtype in _SHAPE_TYPES for value in node.outputs)
