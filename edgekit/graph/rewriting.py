"""Change a graph inside a native child, by libraries that may crash on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgekit import native
from edgekit.graph.load import reopen
from edgekit.graph.model import Model
from edgekit.graph.room import Room
from edgekit.graph.save import file_size, save


def rewritten(
    model: Model, step: str, function: Callable[..., Any], *arguments: object
) -> tuple[Model, Any]:
    """Return the model after `function(graph, *arguments)`, and what that returned.

    Args:
        model: unchanged.
        step: for messages.
        function: changes an onnx_ir graph in place; runs in a native child.
        *arguments: passed on, pickled.

    Raises:
        ModelError: the child failed.
    """
    room = Room()
    source, target = room.path / "before.onnx", room.path / "after.onnx"
    try:
        save(model, source)
        facts = native.call(
            step,
            _rewrite,
            source,
            target,
            function,
            arguments,
            memory_bytes=(2 << 30) + 3 * file_size(source),
        )
        result = reopen(target, name=model.name)
    except BaseException:
        room.close()
        raise
    if any(isinstance(tensor, ir.ExternalTensor) for tensor in result.tensors()):
        room.keep()
    else:
        room.close()
    return result, facts


def _rewrite(
    source: Path, target: Path, function: Callable[..., Any], arguments: tuple[object, ...]
) -> Any:
    graph = ir.load(source)
    facts = function(graph, *arguments)
    save(Model(ir=graph, name=target.name), target)
    return facts
