"""The wiring of a graph that a runtime has rewritten: names and operators, nothing is believed.

Such a file holds a runtime's own operators, which no checker knows, so it is never loaded as a
model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit import native

_INTEGER = ("QLinear", "QGemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One node.

    Attributes:
        activation: an activation that is computed within it, e.g. `Relu`; empty when none is.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: str = ""

    @property
    def is_integer(self) -> bool:
        """Whether it reads and writes 8-bit integers."""
        return self.op_type.startswith(_INTEGER)


def wiring(file: Path) -> tuple[Wire, ...]:
    """Return the nodes of the main graph in `file`, in its order.

    Raises:
        ModelError: it is no ONNX file, or reading it took too much.
    """
    return native.call("reading the optimized graph", _read, file)


def _read(file: Path) -> tuple[Wire, ...]:
    from edgekit.graph import examine  # noqa: PLC0415  # protobuf, only inside the child

    return tuple(
        Wire(
            name=node.name,
            op_type=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            activation=next(
                (a.s.decode(errors="replace") for a in node.attribute if a.name == "activation"),
                "",
            ),
        )
        for node in examine.parse(file.read_bytes()).graph.node
    )
