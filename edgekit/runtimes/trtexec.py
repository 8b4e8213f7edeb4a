"""TensorRT by its own command line, which JetPack brings: times alone, no answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from edgekit.runtimes.contract import refusal
from edgekit.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Trtexec:
    """Times ONNX files as engines of TensorRT, apart from what onnxruntime adds.

    Engines compute in fp16, and in int8 where Q/DQ pairs ask for it. Unverified on hardware.
    """

    name: ClassVar[str] = "trtexec"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def refuses(self, file: Path, target: Target) -> str | None:
        """See `Runtime.refuses`."""
        return refusal(self, "ONNX", file, target)

    def agent_spec(self, target: Target, *, threads: int) -> dict[str, Any]:
        """See `Runtime.agent_spec`; threads only decide which processors it may use."""
        return {"runtime": self.name, "providers": list(target.providers), "threads": threads}

    def title(self, environment: dict[str, Any], target: Target) -> str:  # noqa: ARG002  # the contract's signature
        """See `Runtime.title`."""
        version = environment.get(self.name, "unavailable")
        return f"{self.name} TensorRT {version} (unverified on hardware)"
