"""ONNX Runtime, by its Python package on the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from edgekit.runtimes.contract import refusal
from edgekit.target import Target

_AS_ON_ARM = {"session.qdqisint8allowed": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime:
    """Runs ONNX files with the target's execution providers, best first."""

    name: ClassVar[str] = "onnxruntime"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def refuses(self, file: Path, target: Target) -> str | None:
        """See `Runtime.refuses`."""
        return refusal(self, "ONNX", file, target)

    def agent_spec(self, target: Target, *, threads: int) -> dict[str, Any]:
        """See `Runtime.agent_spec`.

        With int8 activations onnxruntime on x86 leaves some operators in float that are int8
        kernels on ARM, unless it is told to take them, too: what this machine answers in a
        device's place is then what the device answers.
        """
        return {
            "runtime": self.name,
            "providers": list(target.providers),
            "threads": threads,
            "config": _AS_ON_ARM if target.quantized.activations == "int8" else {},
        }

    def title(self, environment: dict[str, Any], target: Target) -> str:
        """See `Runtime.title`."""
        return f"{self.name} {environment.get(self.name, 'unavailable')} {target.providers[0]}"
