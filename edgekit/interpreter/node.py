"""What an operator's function is told of the node it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from torch import Tensor

from edgekit.errors import ModelError
from edgekit.interpreter.values import Value

Tap = Callable[[Tensor], Tensor]
"""Takes what a node reads, and returns what it shall read instead."""

_DEFAULT = {"", "ai.onnx"}
_NOT_A_VALUE = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a graph.

    Attributes:
        kind: operator, behind its domain and a dot when that is not ONNX's own.
        opset: version of the operator set.
        attributes: plain values; a tensor as an array; no graphs.
        inputs: names, empty for what is left out.
        outputs: names, empty for what nobody asks for.
        state: what a recurrent node makes of its own state before it reads it.
    """

    name: str
    kind: str
    opset: int
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    state: Tap | None = field(default=None)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def refusal(self, what: str, found: str = "") -> ModelError:
        """Return the error of a form of the operator that is not covered."""
        return ModelError(f"{self.kind} with {what} is not covered", where=self.name, found=found)


Operator = Callable[..., Value | tuple[Value | None, ...]]
"""Called with a `Node` and its inputs as tensors, None for what is left out."""


def node_of(node: ir.Node, opset: int) -> Node:
    """Return what an operator's function is told."""
    return Node(
        name=node.name or node.op_type,
        kind=kind_of(node),
        opset=opset,
        attributes={
            name: _plain(attribute)
            for name, attribute in node.attributes.items()
            if attribute.type not in _NOT_A_VALUE and not attribute.is_ref()
        },
        inputs=tuple("" if value is None else value.name or "" for value in node.inputs),
        outputs=tuple(value.name or "" for value in node.outputs),
    )


def kind_of(node: ir.Node) -> str:
    """Return the operator, behind its domain when that is not ONNX's own."""
    return node.op_type if node.domain in _DEFAULT else f"{node.domain}.{node.op_type}"


def _plain(attribute: ir.Attr) -> Any:
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().numpy()
    return attribute.value
