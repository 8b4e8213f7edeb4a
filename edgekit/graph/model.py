"""The model as the rest of edgekit sees it: a graph that nobody mutates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A graph input or output.

    Attributes:
        dtype: numpy name of the element type, e.g. `float32`.
        shape: an int for a fixed axis, a name (possibly empty) for a dynamic one; None when the
            rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A loaded graph, immutable from outside.

    A pass takes `editable()`, a clone that shares all unchanged tensors, works on that, and
    returns `Model(ir=clone, name=...)`.

    Attributes:
        ir: the graph in onnx_ir's vocabulary. Do not mutate.
        name: for messages: the file name it came from.
    """

    ir: onnx_ir.Model
    name: str

    def editable(self) -> onnx_ir.Model:
        """Return a clone whose graph may be changed; tensors are shared, not copied."""
        return self.ir.clone()

    def tensors(self) -> Iterator[onnx_ir.TensorProtocol]:
        """Yield the tensors of all initializers, of subgraphs too."""
        for graph in self.ir.graphs():
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield value.const_value

    @property
    def opset(self) -> int:
        """The version of the default ONNX operator set."""
        return self.ir.opset_imports.get("", 0)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Graph inputs that are not initializers."""
        graph = self.ir.graph
        return tuple(_spec(value) for value in graph.inputs if value.name not in graph.initializers)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Graph outputs."""
        return tuple(_spec(value) for value in self.ir.graph.outputs)

    @property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties, e.g. a character list."""
        return dict(self.ir.metadata_props)


def _spec(value: onnx_ir.Value) -> TensorSpec:
    shape = None
    if value.shape is not None:
        shape = tuple(d if isinstance(d, int) else str(d.value or "") for d in value.shape)
    dtype = "unknown"
    if value.dtype is not None:
        dtype = "str" if value.dtype == onnx_ir.DataType.STRING else value.dtype.numpy().name
    return TensorSpec(name=value.name or "", dtype=dtype, shape=shape)
