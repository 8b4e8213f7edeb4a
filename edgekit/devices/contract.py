"""What a device is: somewhere to put files and run the agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from edgekit.errors import InfrastructureError


class ConnectionLostError(InfrastructureError):
    """The connection broke during a call, whose answer is lost; the next call connects again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that ended by itself.

    Attributes:
        code: exit code; minus the signal's number when a signal ended it.
        complaint: the end of its standard error.
    """

    code: int
    complaint: str


class Device(Protocol):
    """A machine that measures; a context manager, usable between enter and exit.

    Connecting may be retried; a command is never run twice for one call.

    Attributes:
        name: as the user names it.
        python: the interpreter that runs the agent there.
    """

    name: str
    python: str

    def __enter__(self) -> Self:
        """Connect and make a private folder.

        Raises:
            InfrastructureError: the device cannot be used.
        """
        ...

    def __exit__(self, *_: object) -> None:
        """Remove the private folder; nothing keeps running."""
        ...

    def put(self, *files: Path) -> str:
        """Bring files there, side by side, and return the path of the first.

        Content-addressed: what is there already is not sent again.

        Raises:
            InfrastructureError: there is no room, or the device is gone.
        """
        ...

    def folder(self) -> str:
        """Make an empty folder there and return its path."""
        ...

    def get(self, path: str, to: Path) -> None:
        """Bring the file `path` from there to `to`.

        Raises:
            InfrastructureError: it is not there, or the device is gone.
        """
        ...

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]
    ) -> Finished:
        """Run a command there, passing each line of its standard output to `on_line`.

        Raises:
            ConnectionLostError: the connection broke; the command has ended or will at once. The
                same call again is answered from what it had written down, or runs it anew.
            InfrastructureError: it did not end in time (and was killed), or could not be started.
        """
        ...

    def environment(self) -> dict[str, Any]:
        """Return what the device is: CPU, kernel, versions, providers, boot id.

        What cannot be read is `unavailable`. Asked once, then remembered.

        Raises:
            InfrastructureError: the agent does not run there.
        """
        ...

    def providers(self) -> tuple[str, ...]:
        """Return the execution providers that its onnxruntime offers; none without one."""
        ...

    def describe(self) -> str:
        """Return the device in a few words, for messages: architecture and providers."""
        ...
