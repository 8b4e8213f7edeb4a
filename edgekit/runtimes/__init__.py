"""Runtimes: what runs a model on a device."""

from edgekit.errors import UsageError
from edgekit.runtimes.contract import Runtime
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.target import Target

RUNTIMES: tuple[Runtime, ...] = (OnnxRuntime(),)


def runtime_for(target: Target) -> Runtime:
    """Return the first runtime that serves `target`.

    Raises:
        UsageError: this version has none of the target's runtimes.
    """
    for name in target.runtimes:
        for runtime in RUNTIMES:
            if runtime.name == name:
                return runtime
    raise UsageError(
        "no runtime for this target",
        where=target.name,
        found=", ".join(target.runtimes),
        expected=", ".join(runtime.name for runtime in RUNTIMES),
    )


__all__ = ["RUNTIMES", "OnnxRuntime", "Runtime", "runtime_for"]
