"""The result of a job: everything that was made, measured and ruled, as one JSON document."""

from __future__ import annotations

import contextlib
import json
import platform
import stat
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from edgekit.candidate import Candidate, StepRecord
from edgekit.errors import UsageError
from edgekit.graph import TensorSpec
from edgekit.judging import EXIT_CODES, Ruling, Verdict
from edgekit.measurement import Measurement
from edgekit.release import Budget, Step

SCHEMA = 1
Read = TypeVar("Read", "Result", Measurement)
_LARGEST_BYTES = 1 << 30
_JSON = ConfigDict(ser_json_inf_nan="strings")
"""JSON has no infinity: figures without bound are the strings "Infinity", "-Infinity", "NaN"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for.

    Attributes:
        profile: name of the release profile.
        metric: the task metric.
        budgets: of the profile and the command line together.
    """

    profile: str
    steps: tuple[Step, ...]
    objective: str | dict[str, float]
    metric: str
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one inference of a model takes, by its graph."""

    parameters: int
    macs: int
    bytes: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the target's runtime would refuse or run slowly."""

    severity: str
    where: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one job.

    Attributes:
        model: file name of the original.
        inputs, outputs: of the original; every candidate has the same.
        candidates: the original first, then one for each step that changed the model.
        declined: steps that left the model as it was, with their reasons.
        measurements: of each measured candidate.
        verdicts: of each judged candidate.
        chosen: name of the candidate that is shipped.
        reason: why it was chosen, one line.
        ruling: of the chosen candidate's verdict.
        next_command: the one command that usually comes next; may be empty.
        cost: of the chosen candidate; `original_cost`: of the original.
        lint: findings about the chosen candidate.
        created: UTC, ISO 8601.
        versions: of edgekit, python, numpy, onnx, onnxruntime; see `versions`.
        seconds: wall time of the job.
        peak_memory_bytes: of the largest process of the job, where it is known.
    """

    schema_version: int = SCHEMA
    model: str
    original_sha256: str
    target: str
    plan: Plan
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    candidates: tuple[Candidate, ...]
    declined: tuple[StepRecord, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    chosen: str
    reason: str
    ruling: Ruling
    next_command: str = ""
    cost: Cost | None = None
    original_cost: Cost | None = None
    lint: tuple[Finding, ...] = ()
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_memory_bytes: int | None = None

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return EXIT_CODES[self.ruling]

    @property
    def chosen_candidate(self) -> Candidate:
        """The candidate that is shipped."""
        return next(item for item in self.candidates if item.name == self.chosen)

    def measurement_of(self, candidate: str) -> Measurement | None:
        """Return the measurement of a candidate by name; None if it was not measured."""
        return next((item for item in self.measurements if item.candidate == candidate), None)

    def verdict_of(self, candidate: str) -> Verdict | None:
        """Return the verdict on a candidate by name; None if it was not judged."""
        return next((item for item in self.verdicts if item.candidate == candidate), None)


_KINDS: dict[str, type[Result | Verdict | Measurement]] = {
    "result": Result,
    "verdict": Verdict,
    "measurement": Measurement,
}


def json_value(document: object) -> dict[str, Any]:
    """Return a result, or another of edgekit's dataclasses, as JSON values.

    `kind` (its type's name, lower case) and `schema_version` come first.
    """
    alone: Any = tuple[type(document)]  # type: ignore[misc]  # known at run time
    written = TypeAdapter(alone, config=_JSON).dump_json(
        (document,), fallback=_plain, warnings=False
    )
    kind = type(document).__name__.lower()
    return {"kind": kind, "schema_version": SCHEMA, **json.loads(written)[0]}


def json_text(document: object) -> str:
    """Return `json_value` as indented text."""
    return json.dumps(json_value(document), indent=1, ensure_ascii=False) + "\n"


def json_schema(kind: str = "result") -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `result`, `verdict` or `measurement` documents."""
    schema = TypeAdapter(_KINDS[kind]).json_schema(mode="serialization")
    found: dict[str, Any] = _with_unbounded(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def read_result(path: str | Path) -> Result:
    """Read a result that was written as JSON. Unknown fields are ignored.

    Raises:
        UsageError: it cannot be read, is no result, or is from a newer edgekit.
    """
    return _read(Path(path), Result)


def read_measurement(path: str | Path) -> Measurement:
    """Read a measurement that was written as JSON. Unknown fields are ignored.

    Raises:
        UsageError: it cannot be read, is no measurement, or is from a newer edgekit.
    """
    return _read(Path(path), Measurement)


def from_value(head: object, kind: type[Read], *, where: str) -> Read:
    """Return the document of a JSON value, the inverse of `json_value`.

    Args:
        head: what `json.loads` gave.
        kind: what it must be.
        where: for messages.

    Raises:
        UsageError: it is no such document, or is from a newer edgekit.
    """
    name = next(name for name, of in _KINDS.items() if of is kind)
    if not isinstance(head, dict) or head.get("kind", name) != name:
        found = head.get("kind") if isinstance(head, dict) else type(head).__name__
        raise UsageError("another kind of file", where=where, found=str(found), expected=name)
    version = head.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA:
        raise UsageError(
            "written by another version of edgekit",
            where=where,
            found=f"schema {version}",
            expected=f"at most {SCHEMA}",
            remedy="upgrade edgekit",
        )
    try:
        return TypeAdapter(kind).validate_python(head, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise UsageError(
            f"not a {name}: {first['msg']}",
            where=f"{where}: {'.'.join(map(str, first['loc']))}",
        ) from None


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("edgekit-sdk", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name.removesuffix("-sdk")] = metadata.version(name)
    return found


def _read(path: Path, kind: type[Read]) -> Read:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
            raise UsageError("no JSON file of edgekit", where=str(path))
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            "cannot be read", where=str(path), found=error.strerror or str(error)
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError("not valid JSON", where=str(path), found=str(error)) from None
    return from_value(value, kind, where=str(path))


def _plain(value: object) -> object:
    """Return numpy scalars and arrays as Python's own values."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _with_unbounded(schema: Any) -> Any:
    """Let every number be one of the strings that stand for infinity and "not a number", too."""
    if isinstance(schema, list):
        return [_with_unbounded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_unbounded(value) for key, value in schema.items()}
    if found.get("type") == "number":
        del found["type"]
        found["anyOf"] = [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]
    return found
