"""Structural checks on the protobuf, before any library interprets it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

MOST_NODES = 200_000
"""Nodes in all, with functions expanded."""

DEEPEST = 16
"""Nesting of subgraphs (If in If in If ...)."""

_DEFAULT_DOMAINS = ("", "ai.onnx")
_OLDEST_OPSET = 7
"""What onnxruntime promises to run."""
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def check_structure(model: onnx.ModelProto) -> None:
    """Refuse what readers of ONNX would take differently, or what would not end.

    Tensors are checked by `check_tensor`, their external data by `external`.

    Raises:
        ModelError: no graph, version or operator set; too many nodes or too deep; a function that
            calls itself or doubles; initializers of one name.
    """
    if not model.HasField("graph"):
        raise ModelError("holds no graph", expected="an ONNX model")
    _check_versions(model)
    count = _Count(model)
    total = count.graph(model.graph, depth=0)
    for function in model.functions:
        total += count.nodes(function.node, depth=0)
    if total > MOST_NODES:
        raise _too_many(total)
    if model.training_info:
        raise ModelError("carries training information", remedy="export it for inference")
    if model.graph.sparse_initializer:
        raise ModelError("holds sparse initializers", remedy="export it with dense ones")
    if not model.graph.output:
        raise ModelError("has no outputs")
    if not model.graph.node:
        raise ModelError("has no nodes")


def tensors_of(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    """Yield every tensor with a name for messages, wherever it hides.

    Walks all messages, so initializers, sparse tensors, attributes, subgraphs, functions and
    default attributes are covered without listing them.
    """
    pending: list[tuple[object, str]] = [(model, "model")]
    while pending:
        message, where = pending.pop()
        kind = message.DESCRIPTOR.name  # type: ignore[attr-defined]
        if kind == "TensorProto":
            yield message, message.name or where  # type: ignore[attr-defined]
            continue
        if kind == "NodeProto":
            where = message.name or f"{message.op_type} node"  # type: ignore[attr-defined]
        for field, value in message.ListFields():  # type: ignore[attr-defined]
            if field.message_type is not None:
                children = value if hasattr(value, "__len__") else (value,)
                pending.extend((child, where) for child in children)


def tensor_bytes(tensor: onnx.TensorProto, where: str) -> int:
    """Return the bytes that shape and element type need.

    Raises:
        ModelError: the element type is unknown or a dimension negative; the size overflows.
    """
    import onnx_ir as ir  # noqa: PLC0415  # slow, and only this function needs it

    try:
        kind = ir.DataType(tensor.data_type)
        bits = 0 if kind == ir.DataType.STRING else kind.bitwidth
    except (ValueError, TypeError):
        raise ModelError(
            "tensor has an unknown element type", where=where, found=str(tensor.data_type)
        ) from None
    if any(dimension < 0 for dimension in tensor.dims):
        raise ModelError("tensor has a negative dimension", where=where, found=str(tensor.dims))
    size: int = (math.prod(tensor.dims) * bits + 7) // 8
    if size >= 1 << 62:
        raise ModelError("tensor is impossibly large", where=where, found=f"{list(tensor.dims)}")
    return size


def check_tensor(tensor: onnx.TensorProto, where: str, *, external: bool) -> None:
    """Check that an embedded tensor holds exactly what shape and type need, in one form.

    Raises:
        ModelError: raw and typed data both set, or the count is wrong.
    """
    needed = tensor_bytes(tensor, where)
    typed = [name for name in _TYPED if len(getattr(tensor, name))]
    raw = tensor.HasField("raw_data")
    if len(typed) + raw + external > 1:
        raise ModelError("tensor holds its data twice", where=where, found=", ".join(typed))
    if external or tensor.HasField("segment"):
        if tensor.HasField("segment"):
            raise ModelError("tensor is stored in segments", where=where)
        return
    if raw and len(tensor.raw_data) != needed:
        raise ModelError(
            "tensor holds the wrong amount of data",
            where=where,
            found=f"{len(tensor.raw_data)} bytes",
            expected=f"{needed} for its shape and type",
        )
    if not raw and not typed and needed and math.prod(tensor.dims):
        raise ModelError("tensor holds no data", where=where, expected=f"{needed} bytes")


def _check_versions(model: onnx.ModelProto) -> None:
    import onnx  # noqa: PLC0415  # only needed here
    from onnx import defs  # noqa: PLC0415  # as above

    if not 3 <= model.ir_version <= onnx.IR_VERSION:  # noqa: PLR2004  # older ones have no opsets
        raise ModelError(
            "has an IR version this edgekit does not know",
            found=str(model.ir_version),
            expected=f"3 to {onnx.IR_VERSION}",
            remedy="export it again, or upgrade onnx",
        )
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain in _DEFAULT_DOMAINS else entry.domain
        if domain in versions:
            raise ModelError("imports an operator set twice", found=repr(entry.domain))
        versions[domain] = entry.version
    newest = defs.onnx_opset_version()
    version = versions.get("")
    if version is None:
        uses_default = any(node.domain in _DEFAULT_DOMAINS for node in model.graph.node)
        if uses_default or not versions:
            raise ModelError("names no version of the ONNX operator set", expected="an opset")
    elif not _OLDEST_OPSET <= version <= newest:
        raise ModelError(
            "has an operator set that onnxruntime does not run",
            found=f"opset {version}",
            expected=f"opset {_OLDEST_OPSET} to {newest}",
            remedy="export it with another opset, or upgrade onnx and onnxruntime",
        )


class _Count:
    """Counts nodes with functions expanded, each function once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._functions = {(f.domain, f.name): f for f in model.functions}
        if len(self._functions) != len(model.functions):
            raise ModelError("defines a function twice")
        self._sizes: dict[tuple[str, str], int] = {}
        self._open: set[tuple[str, str]] = set()

    def graph(self, graph: onnx.GraphProto, depth: int) -> int:
        if depth > DEEPEST:
            raise ModelError(
                "nests subgraphs too deeply", where=graph.name, expected=f"at most {DEEPEST} levels"
            )
        names = [tensor.name for tensor in graph.initializer]
        if len(set(names)) != len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise ModelError("two initializers have one name", where=double)
        return self.nodes(graph.node, depth)

    def nodes(self, nodes: object, depth: int) -> int:
        total = len(nodes)  # type: ignore[arg-type]
        if total > MOST_NODES:
            raise _too_many(total)
        for node in nodes:  # type: ignore[attr-defined]
            if (node.domain, node.op_type) in self._functions:
                total += self._function((node.domain, node.op_type))
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    total += self.graph(attribute.g, depth + 1)
                for graph in attribute.graphs:
                    total += self.graph(graph, depth + 1)
        return total

    def _function(self, key: tuple[str, str]) -> int:
        if key in self._open:
            raise ModelError("function calls itself", where=key[1])
        if key not in self._sizes:
            self._open.add(key)
            self._sizes[key] = self.nodes(self._functions[key].node, depth=0)
            self._open.discard(key)
        if self._sizes[key] > MOST_NODES:
            raise _too_many(self._sizes[key])
        return self._sizes[key]


def _too_many(count: int) -> ModelError:
    return ModelError(
        "has too many nodes with its functions expanded",
        found=f"{count}",
        expected=f"at most {MOST_NODES}",
    )
