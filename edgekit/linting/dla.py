"""What restricts the operators that the deep learning accelerator of a Jetson takes.

Source: TensorRT documentation, "DLA Supported Layers and Restrictions", and NVIDIA's
Deep-Learning-Accelerator-SW, operators/README.md. No figure here was checked on hardware.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.linting.finding import Finding, at
from edgekit.linting.restriction import Restriction, beyond, ints, is_constant, is_planar

_PAIRS = ("QuantizeLinear", "DequantizeLinear")


def graph_findings(model: Model) -> Iterator[Finding]:
    """Yield what the graph as a whole has that the accelerator does not know."""
    for spec in model.inputs:
        for axis, size in enumerate(spec.shape or ()):
            if axis and not isinstance(size, int):
                what = f"axis {axis} is dynamic; the DLA knows fixed shapes only"
                remedy = "fix it with --shape, and build with min = opt = max"
                yield Finding(severity="fallback", where=spec.name, what=what, remedy=remedy)
    for node in model.ir.graph:
        if node.op_type in _PAIRS:
            what = "the DLA takes no Q/DQ pairs: int8 there is calibrated by TensorRT itself"
            remedy = "give it the float model, in fp16 or with a calibration cache"
            yield at(node, "fallback", what, remedy)
            return


def _convolution(node: ir.Node) -> str | None:
    if not is_planar(node):
        return "two spatial axes only"
    if not is_constant(node, 1):
        return "its weight must be constant"
    if beyond(ints(node, "kernel_shape"), 1, 32):
        return "kernels of 1 to 32"
    if beyond(ints(node, "pads"), 0, 31):
        return "padding of 0 to 31"
    if beyond(ints(node, "strides"), 1, 8):
        return "strides of 1 to 8"
    return "dilations of 1 to 32" if beyond(ints(node, "dilations"), 1, 32) else None


def _deconvolution(node: ir.Node) -> str | None:
    if not is_planar(node):
        return "two spatial axes only"
    if node.attributes.get_int("group", 1) != 1 or beyond(ints(node, "dilations"), 1, 1):
        return "no groups and no dilations"
    if beyond(ints(node, "pads"), 0, 0):
        return "no padding"
    return "kernels of 1 to 32" if beyond(ints(node, "kernel_shape"), 1, 32) else None


def _pool(node: ir.Node) -> str | None:
    if not is_planar(node):
        return "two spatial axes only"
    if beyond(ints(node, "kernel_shape"), 1, 8):
        return "windows of 1 to 8"
    if beyond(ints(node, "pads"), 0, 7):
        return "padding of 0 to 7"
    return "strides of 1 to 16" if beyond(ints(node, "strides"), 1, 16) else None


def _concat(node: ir.Node) -> str | None:
    return None if node.attributes.get_int("axis", 1) in (1, -3) else "along the channels only"


def _product(node: ir.Node) -> str | None:
    return None if is_constant(node, 1) else "its second input must be constant"


def _planar(node: ir.Node) -> str | None:
    return None if is_planar(node) else "tensors of four axes only"


RESTRICTIONS: dict[str, Restriction] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "Concat": _concat,
    "Gemm": _product,
    "MatMul": _product,
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Clip", "LeakyRelu", "Slice", "Resize"), _planar),
}
