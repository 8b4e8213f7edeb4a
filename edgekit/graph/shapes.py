"""Shapes of all values, inferred in a native child on the graph without its weights."""

from __future__ import annotations

import onnx_ir as ir

from edgekit import native
from edgekit.errors import ModelError
from edgekit.graph.model import Model, TensorSpec
from edgekit.graph.weights import without_weights

Inferred = dict[str, tuple[int, tuple[int | str | None, ...]]]


def infer_shapes(model: Model, shapes: dict[str, tuple[int, ...]] | None = None) -> Model:
    """Return the model with every shape and type that ONNX's inference can tell.

    Args:
        model: unchanged; weights are shared with the result.
        shapes: concrete shapes of inputs; without one an input keeps its dynamic axes. What the
            model says of inner values is then inferred anew.

    Raises:
        ModelError: a shape contradicts its input, or inference crashes.
    """
    for spec in model.inputs:
        _check_fits(spec, (shapes or {}).get(spec.name))
    graph = model.editable()
    if shapes:
        _fix_inputs(graph, shapes)
    inferred = native.call("shape inference", _infer, without_weights(graph))
    for value in _values(graph):
        found = inferred.get(value.name or "")
        if found is not None and not value.is_initializer():
            value.dtype = ir.DataType(found[0])
            value.shape = ir.Shape(found[1])
    return Model(ir=graph, name=model.name)


def _check_fits(spec: TensorSpec, given: tuple[int, ...] | None) -> None:
    if given is None or spec.shape is None:
        return
    pairs = zip(spec.shape, given, strict=False)
    fixed = all(axis == size for axis, size in pairs if isinstance(axis, int))
    if not fixed or len(given) != len(spec.shape):
        raise ModelError(
            "shape does not fit the input",
            where=spec.name,
            found="x".join(map(str, given)),
            expected="x".join(str(axis or "?") for axis in spec.shape),
        )


def concrete_shape(value: ir.Value) -> tuple[int, ...] | None:
    """Return the shape of `value` when all its axes are known numbers, else None."""
    if value.shape is None or not all(isinstance(axis, int) for axis in value.shape):
        return None
    return tuple(int(axis) for axis in value.shape)  # type: ignore[arg-type]  # all are ints


def _fix_inputs(graph: ir.Model, shapes: dict[str, tuple[int, ...]]) -> None:
    for value in _values(graph):
        if value.is_initializer():
            continue
        if value.name in shapes:
            value.shape = ir.Shape(shapes[value.name])
        elif value.producer() is not None and value.shape is not None:
            rank = len(value.shape)
            value.shape = ir.Shape([None] * rank) if value in graph.graph.outputs else None


def _values(model: ir.Model) -> list[ir.Value]:
    values = list(model.graph.inputs)
    for node in model.graph:
        values.extend(node.outputs)
    return values


def _infer(serialized: bytes) -> Inferred:
    import onnx  # noqa: PLC0415  # never in the host

    try:
        result = onnx.shape_inference.infer_shapes(
            onnx.load_from_string(serialized), strict_mode=True, data_prop=True
        )
    except onnx.shape_inference.InferenceError:
        result = onnx.shape_inference.infer_shapes(onnx.load_from_string(serialized))
    found: Inferred = {}
    for info in (*result.graph.value_info, *result.graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type and tensor.HasField("shape"):
            axes = tuple(
                axis.dim_value if axis.HasField("dim_value") else (axis.dim_param or None)
                for axis in tensor.shape.dim
            )
            found[info.name] = (tensor.elem_type, axes)
    return found
