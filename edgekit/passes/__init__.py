"""The passes: one file each, in the order in which they make sense."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from edgekit.errors import UsageError
from edgekit.passes.contract import Context, Effort, LatenciesOf, Outcome, Pass, Progress
from edgekit.passes.fp16 import Fp16
from edgekit.passes.quantize import Quantize
from edgekit.passes.simplify import Simplify

__all__ = [
    "PASSES",
    "Context",
    "Effort",
    "Fp16",
    "LatenciesOf",
    "Outcome",
    "Pass",
    "Progress",
    "Quantize",
    "Simplify",
    "build",
    "find",
]

PASSES: tuple[type[Pass], ...] = (Simplify, Quantize, Fp16)


def find(name: str) -> type[Pass]:
    """Return the pass called `name`.

    Raises:
        UsageError: there is none; the message offers the nearest name.
    """
    known = {one.name: one for one in PASSES}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise UsageError(f"unknown pass {name!r}", where="steps", remedy=hint)


def build(name: str, params: Mapping[str, Any] | None = None) -> Pass:
    """Return the pass called `name` with these parameters.

    Raises:
        UsageError: no such pass or parameter, or a value of the wrong type.
    """
    kind = find(name)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every pass is a dataclass
    for key, value in (params or {}).items():
        if key not in fields:
            expected = f"one of {', '.join(fields)}" if fields else "no parameter"
            raise UsageError(
                "unknown parameter", where=f"{name}.{key}", found=repr(value), expected=expected
            )
        default = fields[key].default
        numbers = isinstance(default, float) and isinstance(value, int | float)
        if isinstance(value, bool) != isinstance(default, bool) or not (
            numbers or isinstance(value, type(default))
        ):
            raise UsageError(
                "a parameter of the wrong type",
                where=f"{name}.{key}",
                found=repr(value),
                expected=f"{type(default).__name__}, such as {default!r}",
            )
    return kind(**(params or {}))
