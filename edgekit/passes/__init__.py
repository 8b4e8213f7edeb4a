"""Passes: each makes one change to a model, one file a pass."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from edgekit.errors import UsageError
from edgekit.passes.contract import Context, Effort, LatenciesOf, Outcome, Pass, Progress
from edgekit.passes.simplify import Simplify

PASSES: tuple[type[Pass], ...] = (Simplify,)


def build(name: str, params: dict[str, Any]) -> Pass:
    """Return the pass `name` with `params`.

    Raises:
        UsageError: no such pass or parameter; the message offers the nearest name.
    """
    known = {kind.name: kind for kind in PASSES}
    if name not in known:
        raise UsageError(
            f"unknown step {name!r}", where="steps", remedy=_nearest(name, tuple(known))
        )
    fields = {field.name for field in dataclasses.fields(known[name])}  # type: ignore[arg-type]  # passes are dataclasses
    for param in params:
        if param not in fields:
            raise UsageError(
                f"step {name!r} has no parameter {param!r}",
                where="steps",
                remedy=_nearest(param, tuple(sorted(fields))),
            )
    return known[name](**params)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


__all__ = [
    "PASSES",
    "Context",
    "Effort",
    "LatenciesOf",
    "Outcome",
    "Pass",
    "Progress",
    "Simplify",
    "build",
]
