"""What restricts the operators that TensorRT takes.

Source: onnx-tensorrt 10.1, docs/operators.md, columns "Restrictions" and "Supported Types". No
figure here was checked on hardware.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting.finding import Finding, at
from edgekit.linting.restriction import PLANE, Restriction, ints, is_constant, rank_of

_TOP = 3840
_TRANSFORMS = frozenset(
    ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
)
_TYPES = frozenset(
    ir.DataType[name]
    for name in (
        *("DOUBLE", "FLOAT", "FLOAT16", "BFLOAT16", "FLOAT8E4M3FN"),
        *("INT64", "INT32", "INT8", "INT4", "BOOL"),
    )
)
_PAIRS = ("QuantizeLinear", "DequantizeLinear")
_POOLED = (4, 5)


def type_findings(model: Model) -> Iterator[Finding]:
    """Yield the nodes that make values of a type that TensorRT knows only as input or output."""
    for node in model.ir.graph.all_nodes():
        if node.op_type in _PAIRS:
            continue
        for value in node.outputs:
            if value.dtype is None or value.dtype in _TYPES or value.is_graph_output():
                continue
            what = f"TensorRT computes nothing in {value.dtype.name.lower()}"
            yield at(node, "fallback", what, "cast to float32 or int32 before it")


def _pool(node: ir.Node) -> str | None:
    rank = rank_of(node)
    if rank is not None and rank not in _POOLED:
        return "pools over two or three axes only"
    if any(dilation != 1 for dilation in ints(node, "dilations")):
        return "no dilations"
    if len(node.outputs) > 1 and node.outputs[1].uses():
        return "no indices"
    return None


def _dilated(node: ir.Node) -> str | None:
    return "no dilations" if any(d != 1 for d in ints(node, "dilations")) else None


def _constant(index: int, name: str) -> Restriction:
    def check(node: ir.Node) -> str | None:
        return None if is_constant(node, index) else f"its {name} must be constant"

    return check


def _recurrent(node: ir.Node) -> str | None:
    names = node.attributes.get_strings("activations", ())
    if names and node.attributes.get_string("direction", "forward") == "bidirectional":
        half = len(names) // 2
        if [n.lower() for n in names[:half]] != [n.lower() for n in names[half:]]:
            return "both directions must have the same activations"
    if node.op_type == "LSTM" and node.attributes.get_int("input_forget", 0) != 0:
        return "no coupled input and forget gates"
    if node.op_type == "LSTM" and node.attributes.get_int("layout", 0) != 0:
        return "no batch-first layout"
    return None


def _resize(node: ir.Node) -> str | None:
    attributes = node.attributes
    if attributes.get_string("mode", "nearest") not in ("nearest", "linear"):
        return "only nearest and linear"
    if attributes.get_string("coordinate_transformation_mode", "half_pixel") not in _TRANSFORMS:
        return "its coordinate transformation is not known"
    if attributes.get_int("antialias", 0):
        return "no antialiasing"
    if attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "no aspect ratio policy but stretch"
    return None


def _first_output(node: ir.Node) -> str | None:
    return "only its first output" if any(out.uses() for out in node.outputs[1:]) else None


def _top(node: ir.Node) -> str | None:
    if not node.attributes.get_int("sorted", 1):
        return "only sorted"
    value = node.inputs[1] if len(node.inputs) > 1 else None
    count = None if value is None else constant_of(value)
    if count is not None and count.size == 1 and int(count.reshape(())) >= _TOP:
        return f"fewer than {_TOP} of them"
    return None


def _grid(node: ir.Node) -> str | None:
    return "its input must have four axes" if rank_of(node) not in (None, PLANE) else None


def _scatter(node: ir.Node) -> str | None:
    kind = node.attributes.get_string("reduction", "none")
    return None if kind == "none" else "no reduction"


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

RESTRICTIONS: dict[str, Restriction] = {
    "AveragePool": _pool,
    "MaxPool": _pool,
    "LpPool": _dilated,
    "CumSum": _constant(1, "axis"),
    "GridSample": _grid,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "LayerNormalization": _first_output,
    "OneHot": _constant(1, "depth"),
    "Pad": _constant(3, "axes"),
    **{f"Reduce{name}": _constant(1, "axes") for name in _REDUCTIONS},
    "Resize": _resize,
    "ScatterND": _scatter,
    "Squeeze": _constant(1, "axes"),
    "Unsqueeze": _constant(1, "axes"),
    "TopK": _top,
}
