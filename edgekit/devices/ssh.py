"""A device over SSH: the system's OpenSSH, one connection, one agent at its end."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

from edgekit.devices.agent_call import ask
from edgekit.devices.contract import ConnectionLostError, Finished
from edgekit.devices.inventory import Entry
from edgekit.devices.ssh_channel import SshChannel
from edgekit.devices.ssh_command import SshCommand
from edgekit.devices.ssh_start import Tell, connected
from edgekit.devices.transfer import Transfer
from edgekit.errors import InfrastructureError, printable
from edgekit.scratch import Scratch

T = TypeVar("T")

_TRIES = 3
_WAIT_S = 1800.0
_CHECK_S = 120.0
_LATE_S = 60.0
_LONGEST_FOLDER = 50
_PLAIN_PATH = re.compile(r"(/[\w.@+ -]+)+", re.ASCII)


def silent(_message: str) -> None:
    """Tell nobody."""


class SshDevice:
    """Holds the device's lock from enter to exit; connects again after a dropped connection.

    Args:
        name: as the inventory calls it.
        entry: how it is reached.
        wait_s: how long to wait for another job to end.
        exclusive: False only looks at the device and neither takes nor waits for its lock.
        tell: called with messages for the user, such as whom the job waits for.
    """

    def __init__(
        self,
        name: str,
        entry: Entry,
        *,
        wait_s: float = _WAIT_S,
        exclusive: bool = True,
        tell: Tell = silent,
    ) -> None:
        self.name, self.python = name, entry.python
        self._entry, self._wait_s, self._exclusive, self._tell = entry, wait_s, exclusive, tell
        self._job = uuid.uuid4().hex
        self._calls = 0
        self._here: Scratch | None = None
        self._channel: SshChannel | None = None
        self._opened: dict[str, Any] = {}
        self._environment: dict[str, Any] | None = None
        self.reconnections = 0

    def __enter__(self) -> Self:
        """See `Device`."""
        crowded = len(tempfile.gettempdir()) > _LONGEST_FOLDER  # a socket's path must be short
        place = "/tmp" if crowded else tempfile.gettempdir()  # noqa: S108  # a scratch is private
        self._here = Scratch("edgekit-ssh-", Path(place))
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """See `Device`."""
        self._drop(in_order=True)
        if self._here is not None:
            self._here.close()
            self._here = None

    def put(self, *files: Path) -> str:
        """See `Device`; what was sent in part is resumed."""
        return self._patiently(lambda: self._transfer().put(files))

    def folder(self) -> str:
        """See `Device`."""
        name = uuid.uuid4().hex
        return self._patiently(
            lambda: self._inside(self._asked({"do": "folder", "name": name}, "path"))
        )

    def get(self, path: str, to: Path) -> None:
        """See `Device`; only files of this job's own folder are fetched."""
        self._patiently(lambda: self._transfer().get(self._inside(path), to))

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]
    ) -> Finished:
        """See `Device`."""
        digest = hashlib.sha256("\0".join(argv).encode()).hexdigest()[:16]
        call = {"do": "run", "id": f"{self._calls}-{digest}", "argv": list(argv)}
        channel = self._alive()
        try:
            channel.send({**call, "timeout_s": timeout_s})
            finished = self._followed(channel, timeout_s, on_line)
        except ConnectionLostError:
            self._drop(in_order=False)
            raise
        except BaseException:
            self._drop(in_order=True)
            raise
        self._calls += 1
        return finished

    def environment(self) -> dict[str, Any]:
        """See `Device`."""
        if self._environment is None:
            self._environment = self.look()["environment"]
        return self._environment

    def look(self) -> dict[str, Any]:
        """Return `environment` and `state` as the agent finds them now."""
        answer = ask(self, "check", {}, timeout_s=_CHECK_S)
        if not all(isinstance(answer.get(part), dict) for part in ("environment", "state")):
            raise InfrastructureError("the agent's answer cannot be read", where=f"on {self.name}")
        return answer

    def opened(self) -> dict[str, Any]:
        """Return what the agent said when it was connected: `held_by`, `free_bytes`, `boot_id`."""
        self._alive()
        return self._opened

    def providers(self) -> tuple[str, ...]:
        """See `Device`."""
        found = self.environment().get("providers")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def describe(self) -> str:
        """See `Device`."""
        runtimes = ", ".join(self.providers()) or "no runtime"
        return f"{self.environment().get('machine')} with {runtimes}"

    def _followed(
        self, channel: SshChannel, timeout_s: float, on_line: Callable[[str], None]
    ) -> Finished:
        until = time.monotonic() + timeout_s + _LATE_S
        while time.monotonic() < until:
            answer = channel.answer()
            if "line" in answer:
                on_line(str(answer["line"]))
            elif isinstance(answer.get("ended"), int):
                return Finished(code=answer["ended"], complaint=str(answer.get("complaint", "")))
            elif "late" in answer:
                break
            else:
                raise InfrastructureError(
                    "cannot start", where=self.name, found=str(answer.get("failed", answer))[:300]
                )
        raise InfrastructureError(f"no end within {timeout_s:g} s", where=self.name)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call; where the connection breaks, connect again and call again: it is no measurement."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                return call()
            except ConnectionLostError:
                self._drop(in_order=False)
                if not left:
                    raise
        raise AssertionError

    def _transfer(self) -> Transfer:
        self._alive()
        return Transfer(
            name=self.name,
            sftp=self._command().sftp(),
            here=self._home,
            folder=self._opened["folder"],
            parts=str(PurePosixPath(self._opened["folder"]).parents[1] / "parts"),
            ask=self._asked,
        )

    def _asked(self, command: dict[str, Any], key: str) -> Any:
        """Send a command and return what its answer has under `key`."""
        channel = self._alive()
        channel.send(command)
        answer = channel.answer()
        if key not in answer:
            found = str(answer.get("failed", answer))[:300]
            raise InfrastructureError("the device cannot do it", where=self.name, found=found)
        return answer[key]

    def _inside(self, path: object) -> str:
        """Return `path` if it can only be a place in this job's folder there."""
        root = str(self._opened.get("folder"))
        text = str(path)
        plain = _PLAIN_PATH.fullmatch(text) and not {".", ".."} & set(text.split("/"))
        if not plain or not text.startswith(root + "/"):
            raise InfrastructureError(
                "the agent names a place that is not the job's",
                where=f"on {self.name}",
                found=repr(text[:80]),
            )
        return text

    def _alive(self) -> SshChannel:
        if self._channel is None:
            self._connect()
        assert self._channel is not None  # noqa: S101  # connecting raises or makes one
        return self._channel

    def _connect(self) -> None:
        again = bool(self._opened)
        order = {
            "do": "open",
            "job": self._job,
            "exclusive": self._exclusive,
            "wait_s": self._wait_s,
            "holder": _holder(),
        }
        self._channel, opened = connected(self._command(), order, self._tell)
        if again:
            self.reconnections += 1
            self._tell(f"{self.name}: the connection was lost; connected again")
            if opened["boot_id"] != self._opened["boot_id"]:
                self._drop(in_order=True)
                raise InfrastructureError(
                    "it was restarted meanwhile: what was measured before cannot be continued",
                    where=self.name,
                    remedy="start the job again",
                )
        self._opened = opened
        plain = _PLAIN_PATH.fullmatch(opened["folder"])
        if not plain or ".." in opened["folder"].split("/"):
            self._drop(in_order=False)
            raise InfrastructureError(
                "its cache folder has a name that cannot be used",
                where=self.name,
                found=repr(opened["folder"][:80]),
                expected="letters, digits and ._@+- and spaces",
                remedy="set XDG_CACHE_HOME there",
            )

    def _drop(self, *, in_order: bool) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.end(in_order=in_order)

    def _command(self) -> SshCommand:
        return SshCommand(name=self.name, entry=self._entry, folder=self._home).prepared()

    @property
    def _home(self) -> Path:
        if self._here is None:
            raise InfrastructureError("the device is not connected", where=self.name)
        return self._here.path


def _holder() -> str:
    user = os.environ.get("USER") or str(os.getuid())
    return printable(f"{user}@{socket.gethostname()}, process {os.getpid()}")
