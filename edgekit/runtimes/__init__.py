"""Runtimes: what runs a model on a device."""

from pathlib import Path

from edgekit.errors import UsageError
from edgekit.runtimes.contract import Runtime
from edgekit.runtimes.litert import LiteRt, as_litert
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.runtimes.trtexec import Trtexec
from edgekit.target import Target

RUNTIMES: tuple[Runtime, ...] = (OnnxRuntime(), LiteRt(), Trtexec())


def runtime_for(target: Target, file: Path) -> Runtime:
    """Return the first runtime that serves `target` and takes such a file.

    What none of them takes is left to the first, which says why.

    Raises:
        UsageError: this version has none of the target's runtimes.
    """
    found = [one for name in target.runtimes for one in RUNTIMES if one.name == name]
    if not found:
        raise UsageError(
            "no runtime for this target",
            where=target.name,
            found=", ".join(target.runtimes),
            expected=", ".join(runtime.name for runtime in RUNTIMES),
        )
    return next((one for one in found if file.suffix in one.suffixes), found[0])


def asked_for(name: str, target: Target) -> Target:
    """Return `target` with the runtime called `name` before its others.

    Raises:
        UsageError: it does not serve this kind of device.
    """
    if name not in {one.name for one in RUNTIMES} & set(target.runtimes):
        raise UsageError(
            "this target has no such runtime",
            where="--runtime",
            found=repr(name),
            expected=", ".join(one.name for one in RUNTIMES if one.name in target.runtimes),
        )
    others = (each for each in target.runtimes if each != name)
    return target.model_copy(update={"runtimes": (name, *others)})


__all__ = [
    "RUNTIMES",
    "LiteRt",
    "OnnxRuntime",
    "Runtime",
    "Trtexec",
    "as_litert",
    "asked_for",
    "runtime_for",
]
