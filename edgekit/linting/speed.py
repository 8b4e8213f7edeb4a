"""What a target's kernels run slowly, by the target's facts: nothing here was measured."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting.finding import Finding, at
from edgekit.target import Target

_STEM_CHANNELS = 4
_MEASURE = "let `edgekit quantize --target {name} --device ...` measure, or leave it in float"


def slow_findings(model: Model, target: Target) -> Iterator[Finding]:
    """Yield the convolutions whose form is slow on `target`, and inputs that change shape.

    A target's facts say which kinds are slow in int8 and which multiple of channels its kernels
    block by. A graph that was placed by measuring may hold such kinds for good reason.
    """
    for node in model.ir.graph:
        if node.op_type != "Conv":
            continue
        value = node.inputs[1]
        weight = None if value is None else constant_of(value)
        if weight is None:
            continue
        kind = _kind(node, weight.shape)
        if kind in target.slow_in_int8 and _is_int8(node):
            what = f"a {kind} convolution in int8 is slower than in float on {target.name}"
            yield at(node, "slow", what, _MEASURE.format(name=target.name))
        multiple, channels = target.channel_multiple, weight.shape[0]
        if kind == "" and channels > multiple and channels % multiple:
            what = f"its output channels are no multiple of {multiple}, which kernels block by"
            remedy = (
                f"{channels - channels % multiple} or {channels + -channels % multiple} of them"
            )
            yield at(node, "slow", what, remedy)
    if target.runtimes[0] == "tensorrt":
        yield from _shape_findings(model)


def _shape_findings(model: Model) -> Iterator[Finding]:
    for spec in model.inputs:
        for axis, size in enumerate(spec.shape or ()):
            if axis and not isinstance(size, int):
                what = f"axis {axis} is dynamic: an engine is built for each range of shapes"
                remedy = "fix it with --shape, or give the engine min, opt and max shapes"
                yield Finding(severity="slow", where=spec.name, what=what, remedy=remedy)


def _kind(node: ir.Node, shape: tuple[int, ...]) -> str:
    """Return the class that the facts name; empty for a common convolution."""
    if node.attributes.get_int("group", 1) > 1:
        return "depthwise" if shape[1] == 1 else "grouped"
    return "stem" if shape[1] <= _STEM_CHANNELS else ""


def _is_int8(node: ir.Node) -> bool:
    sources = [None if value is None else value.producer() for value in node.inputs[:2]]
    return all(node is not None and node.op_type == "DequantizeLinear" for node in sources)
