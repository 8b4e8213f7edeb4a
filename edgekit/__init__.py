"""edgekit: make an exported ONNX model small and fast, and prove it on the device.

Every command has its twin here: `edgekit.optimize(...)` is `edgekit optimize ...`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.checking import check
    from edgekit.diagnosis import check_device
    from edgekit.errors import EdgekitError
    from edgekit.fleet import profile_fleet
    from edgekit.gating import gate
    from edgekit.graph.load import load
    from edgekit.inspection import channel_groups, inspect
    from edgekit.lab import add_device, list_devices, remove_device, trust_device
    from edgekit.pipeline import optimize
    from edgekit.profiling import profile
    from edgekit.sample import demo_files
    from edgekit.single import prune, quantize
    from edgekit.students import distill

_HOME = {
    "EdgekitError": "edgekit.errors",
    "add_device": "edgekit.lab",
    "channel_groups": "edgekit.inspection",
    "check": "edgekit.checking",
    "check_device": "edgekit.diagnosis",
    "demo_files": "edgekit.sample",
    "distill": "edgekit.students",
    "gate": "edgekit.gating",
    "inspect": "edgekit.inspection",
    "list_devices": "edgekit.lab",
    "load": "edgekit.graph",
    "optimize": "edgekit.pipeline",
    "profile": "edgekit.profiling",
    "profile_fleet": "edgekit.fleet",
    "prune": "edgekit.single",
    "quantize": "edgekit.single",
    "remove_device": "edgekit.lab",
    "trust_device": "edgekit.lab",
}

__all__ = [
    "EdgekitError",
    "add_device",
    "channel_groups",
    "check",
    "check_device",
    "demo_files",
    "distill",
    "gate",
    "inspect",
    "list_devices",
    "load",
    "optimize",
    "profile",
    "profile_fleet",
    "prune",
    "quantize",
    "remove_device",
    "trust_device",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import edgekit` stays quick."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'edgekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
