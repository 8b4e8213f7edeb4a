"""A candidate: one form of the model that could be shipped, and how it came to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Something a pass left as it was, and why. A refusal is a value: it reaches the report."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One applied step: its name, its parameters, and what it left alone.

    Attributes:
        facts: figures worth telling, e.g. `{"quantized nodes": 21}`; JSON values.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    changed: bool = True
    skipped: tuple[Skip, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model file with its history.

    Attributes:
        name: unique within one job: `original`, `simplify`, `quantize`, ...
        file: where its ONNX file lies now; external data, if any, beside it.
        sha256: hash over the file and its external data (see `graph.file_sha256`).
        size_bytes: of the file and its external data.
        steps: what was done to the original, in order.
        parent: name of the candidate that the last step started from; None for the original.
    """

    name: str
    file: Path
    sha256: str
    size_bytes: int
    steps: tuple[StepRecord, ...] = ()
    parent: str | None = None
