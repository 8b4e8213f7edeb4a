"""Runs as `python -m PACKAGE IN.tflite OUT.tflite INPUT_NAMES OUTPUT_NAMES`.

Names are JSON lists; inputs and outputs are put into their order. It prints how many kernels of
each kind became int8, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from .graph import Graph
from .kernels import int8_kernel, int8_weights, move_int8, plain_float, same_grid
from .layout import mean_before, transpose_later, undo_transposes

_FILE_IDENTIFIER = b"TFL3"
_ROUNDS: tuple[tuple[Callable[[Graph, Any], bool], ...], ...] = (
    (same_grid, move_int8, undo_transposes),
    (int8_kernel,),
    (plain_float, int8_weights),
    (mean_before, transpose_later, undo_transposes, same_grid),
)


def main(arguments: Sequence[str]) -> None:
    """Read, rewrite, write."""
    source, out, inputs, outputs = arguments
    model = schema.ModelT.InitFromPackedBuf(Path(source).read_bytes(), 0)
    fused = to_int8(model)
    put_in_order(model, json.loads(inputs), json.loads(outputs))
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    Path(out).write_bytes(bytes(builder.Output()))
    print(json.dumps(fused))  # noqa: T201  # its answer


def to_int8(model: Any) -> Counter[str]:
    """Rewrite `model` and return how many kernels of each kind became int8."""
    if len(model.subgraphs) > 1:
        return Counter()  # loops and branches: their tensors are beyond these rules
    graph = Graph(model)
    for rules in _ROUNDS:
        while any(rule(graph, op) for op in list(graph.of.operators) for rule in rules):
            pass
    graph.drop_unused()
    return graph.fused


def put_in_order(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give inputs and outputs these names, in this order; the converter writes `:` as `__`."""
    of = model.subgraphs[0]
    for names, field in ((inputs, "inputs"), (outputs, "outputs")):
        at = {bytes(of.tensors[i].name).decode(): int(i) for i in getattr(of, field)}
        written = {name: name if name in at else name.replace(":", "__") for name in names}
        if set(at) != set(written.values()):
            raise ValueError(f"{field} are {sorted(at)}, expected {sorted(names)}")
        setattr(of, field, [at[written[name]] for name in names])
        for name in names:
            of.tensors[at[written[name]]].name = name.encode()


if __name__ == "__main__":
    main(sys.argv[1:])
