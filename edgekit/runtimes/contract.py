"""What a runtime is to edgekit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from edgekit.target import Target


class Runtime(Protocol):
    """Runs models on a device; never knows how the device is reached.

    Attributes:
        name: as targets name it.
        suffixes: of the files it takes.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    def refuses(self, file: Path, target: Target) -> str | None:
        """Return why `file` cannot be run on `target`, or None when it can be tried."""
        ...

    def agent_spec(self, target: Target, *, threads: int) -> dict[str, Any]:
        """Return how the agent opens a session: `runtime`, `providers`, `threads`, `config`."""
        ...

    def title(self, environment: dict[str, Any], target: Target) -> str:
        """Return name, version and provider, as a measurement's setup shows them."""
        ...


def refusal(runtime: Runtime, kind: str, file: Path, target: Target) -> str | None:
    """Return why a runtime refuses `file`: no file of its `kind`, or not a runtime of `target`."""
    if file.suffix not in runtime.suffixes:
        return f"{file.name} is no {kind} file"
    if runtime.name not in target.runtimes:
        return f"target {target.name} is not served by {runtime.name}"
    return None
