"""Conversion of a graph to another version of the ONNX operator set."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph.equality import largest_difference
from edgekit.graph.model import Model
from edgekit.graph.rewriting import rewritten
from edgekit.graph.weights import without_weights

TOLERANCE = 1e-5
"""Largest relative difference of outputs that a conversion may cause."""


def convert(model: Model, opset: int, shapes: dict[str, tuple[int, ...]] | None = None) -> Model:
    """Return the model in another operator set, with weights, names and metadata kept.

    Args:
        model: unchanged; itself the result when it is of that operator set already.
        opset: of the default domain.
        shapes: of the inputs, for the run that compares outputs.

    Raises:
        ModelError: an operator has no conversion, or the result answers differently.
    """
    if model.opset == opset:
        return model
    result, _ = rewritten(model, "converting the opset", convert_in_place, opset)
    difference = largest_difference(model, result, shapes)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"answers differently after conversion from opset {model.opset} to {opset}",
            where=model.name,
            found=f"a relative difference of {difference:.1e}",
            expected=f"at most {TOLERANCE:.0e}",
        )
    return result


def convert_in_place(graph: ir.Model, opset: int) -> None:
    """Convert inside a native child; only ONNX's own converter sees the graph, without weights.

    Raises:
        ModelError: an operator has no conversion.
    """
    import onnx  # noqa: PLC0415  # never in the host's own code
    from onnx import version_converter  # noqa: PLC0415  # as above

    weights = {
        value.name: value.const_value
        for value in graph.graph.initializers.values()
        if value.const_value is not None
    }
    inputs = [value.name for value in graph.graph.inputs]
    light = onnx.load_from_string(without_weights(graph))
    try:
        converted = ir.from_proto(version_converter.convert_version(light, opset))
    except RuntimeError as error:
        reason = str(error).rsplit(":", maxsplit=1)[-1].strip()
        raise ModelError(f"cannot be converted to opset {opset}", found=reason[:200]) from None
    for value in list(converted.graph.inputs):
        if value.name in weights:
            value.const_value = weights[value.name]
            converted.graph.register_initializer(value)
            if value.name not in inputs:
                converted.graph.inputs.remove(value)
    graph.graph = converted.graph
    least = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    graph.ir_version = max(graph.ir_version, least)
