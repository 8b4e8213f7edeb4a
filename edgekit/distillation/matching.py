"""Which input and output of a student is which of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.errors import ModelError
from edgekit.graph import Model, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """By name of the student: the teacher's name."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def match(student: Model, teacher: Model) -> Match:
    """Return what corresponds: what has the same name, else, where no name is the same, in order.

    Outputs that are no floats are left out.

    Raises:
        ModelError: inputs or outputs do not correspond, or no output is a float.
    """
    inputs = _paired(student, teacher, student.inputs, teacher.inputs, "input")
    outputs = _paired(student, teacher, student.outputs, teacher.outputs, "output")
    floats = {spec.name for spec in student.outputs if spec.dtype.startswith("float")}
    taught = {name: other for name, other in outputs.items() if name in floats}
    if not taught:
        raise ModelError("has no float output that could be taught", where=student.name)
    return Match(inputs=inputs, outputs=taught)


def _paired(
    student: Model,
    teacher: Model,
    own: tuple[TensorSpec, ...],
    other: tuple[TensorSpec, ...],
    what: str,
) -> dict[str, str]:
    names = {spec.name for spec in own}
    known = {spec.name: spec for spec in other}
    if names <= set(known):
        pairs = [(spec, known[spec.name]) for spec in own]
    elif names.isdisjoint(known) and len(own) == len(other):
        pairs = list(zip(own, other, strict=True))
    else:
        raise _mismatch(student, teacher, own, other, what)
    if what == "input" and len(own) != len(other):
        raise _mismatch(student, teacher, own, other, what)
    if not all(_fit(mine, its) for mine, its in pairs):
        raise _mismatch(student, teacher, own, other, what)
    return {mine.name: its.name for mine, its in pairs}


def _fit(one: TensorSpec, other: TensorSpec) -> bool:
    if one.dtype != other.dtype:
        return False
    if one.shape is None or other.shape is None:
        return True
    return len(one.shape) == len(other.shape) and all(
        isinstance(a, str) or isinstance(b, str) or a == b or place == 0
        for place, (a, b) in enumerate(zip(one.shape, other.shape, strict=True))
    )


def _mismatch(
    student: Model,
    teacher: Model,
    own: tuple[TensorSpec, ...],
    other: tuple[TensorSpec, ...],
    what: str,
) -> ModelError:
    return ModelError(
        f"teacher and student have different {what}s",
        where=teacher.name,
        found=", ".join(map(_show, other)),
        expected=f"those of the student {student.name}: {', '.join(map(_show, own))}",
    )


def _show(spec: TensorSpec) -> str:
    shape = "x".join(str(axis) or "?" for axis in spec.shape) if spec.shape is not None else "?"
    return f"{spec.name} {spec.dtype} {shape}"
