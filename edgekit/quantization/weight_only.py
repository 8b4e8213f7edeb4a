"""Large matrices with weights alone in integers: fewer bytes to read, activations stay float.

A product of a few rows with a large matrix waits for memory, so a weight of a fourth or an eighth
of the bytes can be faster, whatever the kernel. The form is onnxruntime's MatMulNBits: blocks of
32 numbers of a column share a scale. Which of it pays is measured, see `passes.quantizing`.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.graph.surgery import constant_of

DOMAIN = "com.microsoft"
BITS = (8, 4)
BLOCK = 32
LARGE = 1 << 18
"""Numbers in a weight from which reading it counts."""
_ACCURACY_LEVEL = 4  # products of int8: the fast kernels on CPUs
_SMALLEST = np.float32(2.0**-60)
_BIAS = 2


def large_matrices(model: Model) -> tuple[str, ...]:
    """Return the first outputs of the nodes that can take this form, in graph order.

    They are MatMul and Gemm in float32 by a constant matrix of at least `LARGE` numbers, in the
    graph itself.
    """
    return tuple(
        node.outputs[0].name or "" for node in model.ir.graph if _matrix_of(node) is not None
    )


def narrowed(model: Model, nodes: Collection[str], bits: int) -> Model:
    """Return the model with the weights of these nodes in so many bits.

    Args:
        model: unchanged.
        nodes: by first output, of `large_matrices`.
        bits: 8 or 4.
    """
    edited = model.editable()
    graph = edited.graph
    edited.opset_imports.setdefault(DOMAIN, 1)
    for node in list(graph):
        matrix = _matrix_of(node) if node.outputs and node.outputs[0].name in nodes else None
        if matrix is not None:
            _replace(graph, node, matrix, bits)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
            del graph.initializers[name]
    return Model(ir=edited, name=model.name)


def blocks_of(
    matrix: npt.NDArray[np.float32], bits: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return the integers of a matrix as MatMulNBits reads them, and their scales.

    Args:
        matrix: shape (outputs, inputs).
        bits: 8 or 4; the zero-point is the middle of the unsigned range.

    Returns:
        shapes (outputs, blocks, bytes of a block) and (outputs * blocks,).
    """
    outputs, inputs = matrix.shape
    count = -(-inputs // BLOCK)
    padded = np.zeros((outputs, count * BLOCK), np.float32)
    padded[:, :inputs] = matrix
    parts = padded.reshape(outputs, count, BLOCK)
    middle = 1 << (bits - 1)
    scales = np.maximum(np.abs(parts).max(axis=-1) / (middle - 1), _SMALLEST).astype(np.float32)
    signed = np.clip(np.rint(parts / scales[..., None]), 1 - middle, middle - 1)
    integers = (signed + middle).astype(np.uint8)
    if bits == 4:  # noqa: PLR2004  # two numbers a byte, the first in its lower half
        integers = integers[..., 0::2] | integers[..., 1::2] << 4
    return np.ascontiguousarray(integers), scales.reshape(-1)


def _matrix_of(node: ir.Node) -> npt.NDArray[np.float32] | None:
    """Return the weight of a node as [outputs, inputs]; None where it cannot take this form."""
    if node.domain not in {"", "ai.onnx"} or node.op_type not in {"MatMul", "Gemm"}:
        return None
    value, data = node.inputs[1], node.inputs[0]
    if value is None or data is None or data.dtype not in (None, ir.DataType.FLOAT):
        return None
    weight = constant_of(value) if value.is_initializer() else None
    if weight is None or weight.ndim != 2 or weight.size < LARGE or weight.dtype != np.float32:  # noqa: PLR2004  # a matrix
        return None
    if node.op_type == "MatMul":
        return weight.T
    attributes = node.attributes
    scaled = attributes.get_float("alpha", 1.0) != 1 or attributes.get_float("beta", 1.0) != 1
    if scaled or attributes.get_int("transA", 0) == 1:
        return None
    return weight if attributes.get_int("transB", 0) == 1 else weight.T


def _replace(graph: ir.Graph, node: ir.Node, matrix: npt.NDArray[np.float32], bits: int) -> None:
    out = node.outputs[0]
    name = out.name or ""
    integers, scales = blocks_of(np.ascontiguousarray(matrix), bits)
    constants = []
    for part, array in (("blocks", integers), ("scales", scales)):
        label = f"{name}_{part}"
        tensor = ir.tensor(array, name=label)
        value = ir.Value(name=label, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        value.const_value = tensor
        graph.register_initializer(value)
        constants.append(value)
    product = ir.node(
        "MatMulNBits",
        [node.inputs[0], *constants],
        domain=DOMAIN,
        attributes={
            "K": matrix.shape[1],
            "N": matrix.shape[0],
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": _ACCURACY_LEVEL,
        },
        name=node.name,
    )
    new: list[ir.Node] = [product]
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    if bias is not None:
        new.append(ir.node("Add", [product.outputs[0], bias], name=f"{name}_add"))
        product.outputs[0].name = f"{name}_product"
    result = new[-1].outputs[0]
    result.shape, result.type = out.shape, out.type
    graph.insert_before(node, new)
    out.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = name
