"""LiteRT (TensorFlow Lite), by its Python package on the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from edgekit.errors import UsageError
from edgekit.runtimes.contract import refusal
from edgekit.target import QuantizedForm, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteRt:
    """Runs TFLite files on the processor, with the kernels of XNNPACK where they serve."""

    name: ClassVar[str] = "litert"
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)

    def refuses(self, file: Path, target: Target) -> str | None:
        """See `Runtime.refuses`."""
        return refusal(self, "TFLite", file, target)

    def agent_spec(self, target: Target, *, threads: int) -> dict[str, Any]:
        """See `Runtime.agent_spec`; the providers only say that the processor computes."""
        return {"runtime": self.name, "providers": list(target.providers), "threads": threads}

    def title(self, environment: dict[str, Any], target: Target) -> str:  # noqa: ARG002  # the contract's signature
        """See `Runtime.title`."""
        return f"{self.name} {environment.get(self.name, 'unavailable')} XNNPACK"


def as_litert(target: Target) -> Target:
    """Return `target` with LiteRT as its first runtime, and the quantized form of its kernels.

    Source: the LiteRT 8-bit quantization specification: activations int8 and asymmetric, weights
    int8, symmetric and per channel, biases int32.

    Raises:
        UsageError: LiteRT does not serve this kind of device.
    """
    if LiteRt.name not in target.runtimes:
        raise UsageError(
            f"target {target.name} is not served by {LiteRt.name}",
            where="--format",
            expected=", ".join(target.runtimes),
        )
    form = QuantizedForm(
        activations="int8",
        symmetric_activations=False,
        bias="int32",
        quantize_residual_inputs=True,
    )
    return target.model_copy(
        update={
            "runtimes": (LiteRt.name, *(name for name in target.runtimes if name != LiteRt.name)),
            "quantized": form,
            "slow_in_int8": (),
            "engines": (),
        }
    )
