"""The passes: one file each, in the order in which they make sense."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from edgekit.errors import UsageError
from edgekit.passes.contract import Context, Effort, LatenciesOf, Outcome, Pass, Progress
from edgekit.passes.finetune import Finetune
from edgekit.passes.fp16 import Fp16
from edgekit.passes.layout import Layout
from edgekit.passes.prune import Prune
from edgekit.passes.qat import Qat
from edgekit.passes.quantize import Quantize
from edgekit.passes.simplify import Simplify
from edgekit.passes.student import Student

__all__ = [
    "PASSES",
    "Context",
    "Effort",
    "Finetune",
    "Fp16",
    "LatenciesOf",
    "Layout",
    "Outcome",
    "Pass",
    "Progress",
    "Prune",
    "Qat",
    "Quantize",
    "Simplify",
    "Student",
    "build",
    "find",
]

PASSES: tuple[type[Pass], ...] = (Simplify, Prune, Student, Finetune, Quantize, Qat, Fp16, Layout)


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
    values: dict[str, Any] = {}
    for key, value in (params or {}).items():
        if key not in fields:
            expected = f"one of {', '.join(fields)}" if fields else "no parameter"
            raise UsageError(
                "unknown parameter", where=f"{name}.{key}", found=repr(value), expected=expected
            )
        default = _default(fields[key])
        if not _fits(value, default):
            raise UsageError(
                "a parameter of the wrong type",
                where=f"{name}.{key}",
                found=repr(value),
                expected=_kind(default),
            )
        values[key] = tuple(value) if isinstance(default, tuple) else value
    return kind(**values)


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _fits(value: object, default: object) -> bool:
    """Say whether `value` is of the type of `default`: tuples hold names, tables hold numbers."""
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if isinstance(default, dict):
        return isinstance(value, Mapping) and all(_fits(one, 0.0) for one in value.values())
    number = isinstance(default, float) and isinstance(value, int | float)
    same = isinstance(value, bool) == isinstance(default, bool)
    return same and (number or isinstance(value, type(default)))


def _kind(default: object) -> str:
    if isinstance(default, tuple):
        return "a list of names"
    if isinstance(default, dict):
        return "a table of numbers by name"
    return f"{type(default).__name__}, such as {default!r}"
