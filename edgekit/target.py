"""A target: what a class of device is, as facts with their sources (`targets/*.toml`)."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit import configuration

ActivationType = Literal["uint8", "int8"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fact(_Table):
    """A statement about the hardware or its runtime, and where it is from."""

    statement: str
    source: str


class QuantizedForm(_Table):
    """How a quantized graph must look for this target's kernels to take it.

    Attributes:
        activations: integer type of activations.
        symmetric_activations: zero-point 0 for every activation.
        symmetric_weights: zero-point 0 for every weight.
        per_channel_weights: one scale per output channel of a weight.
        bias: `int32` (quantized with scale input x weight) or `float`.
        quantize_residual_inputs: Q/DQ on both inputs of a residual Add.
        min_opset: lowest ONNX opset the form needs.
    """

    activations: ActivationType
    symmetric_activations: bool
    symmetric_weights: bool = True
    per_channel_weights: bool = True
    bias: Literal["int32", "float"]
    quantize_residual_inputs: bool
    min_opset: int = Field(default=13, ge=13)


class Engine(_Table):
    """A part of a runtime that takes some operators and leaves the others to another part.

    Attributes:
        name: whose restrictions apply beside the list; see `edgekit.linting`.
        title: with the version that the facts are of.
        opsets: lowest and highest version of the ONNX operator set that it knows.
        operators: of the default ONNX domain, those that it takes.
        otherwise: where all others run.
        source: where the list is from.
    """

    name: Literal["tensorrt", "dla", "xnnpack"]
    title: str
    opsets: tuple[int, int]
    operators: frozenset[str]
    otherwise: str
    source: str


class Target(_Table):
    """A class of device.

    Attributes:
        name: what `--target` takes.
        architectures: values of `platform.machine()` that are of this kind.
        providers: execution providers of onnxruntime, best first; the local machine is of this
            kind only if it has the first one.
        runtimes: runtimes that serve this kind, best first.
        formats: number formats that run fast: `fp32`, `fp16`, `int8`.
        slow_in_int8: operator classes whose int8 kernels are slower than float in this runtime;
            what stays float when nothing can be measured. Measuring overrules it.
        channel_multiple: the channel count its kernels block by.
        engines: parts of its runtimes that take a subset of the operators. The one with the name
            of the first runtime runs whatever it takes; any other only where it is asked for.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    architectures: tuple[str, ...]
    providers: tuple[str, ...]
    runtimes: tuple[str, ...]
    formats: tuple[Literal["fp32", "fp16", "int8"], ...]
    slow_in_int8: tuple[Literal["depthwise", "grouped", "stem", "add", "activation"], ...] = ()
    channel_multiple: int = Field(default=1, ge=1)
    memory_bytes: int | None = None
    sensors: tuple[str, ...] = ()
    quantized: QuantizedForm
    engines: tuple[Engine, ...] = ()
    facts: tuple[Fact, ...]

    def is_local(self, available_providers: tuple[str, ...]) -> bool:
        """Say whether this machine is of this kind: architecture and best provider."""
        return platform.machine() in self.architectures and self.providers[0] in available_providers


def load(name_or_path: str | Path) -> Target:
    """Read a target: a shipped one or one on `EDGEKIT_PATH` by name, any other by path.

    Raises:
        UsageError: unknown name, or a wrong file; the message has file, key, found and expected.

    >>> load("x86").quantized.activations
    'uint8'
    """
    return configuration.load(Target, name_or_path, kind="targets")


def names() -> tuple[str, ...]:
    """Return the names that `load` takes, sorted."""
    return configuration.names("targets")
