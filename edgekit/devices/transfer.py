"""Files to and from a device by sftp: by content, resumed, believed only by their sha256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.devices.contract import ConnectionLostError
from edgekit.errors import InfrastructureError, printable

_SLOWEST_BYTES_S = 20_000
_LEAST_S = 120.0
_LONGEST_GET_S = 3600.0
_CONNECTION_LOST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Carries files over a connection that is open.

    Attributes:
        name: the device's, for messages.
        sftp: call of sftp that carries out a batch.
        here: private folder on this side.
        folder: the job's own, over there.
        parts: folder over there for what is not whole yet.
        ask: sends a command to the agent and returns one key of its answer.
    """

    name: str
    sftp: Sequence[str]
    here: Path
    folder: str
    parts: str
    ask: Callable[[dict[str, Any], str], Any]

    def put(self, files: Sequence[Path]) -> str:
        """Bring files there, side by side, and return the path of the first.

        Raises:
            ConnectionLostError: what was sent so far is kept there for the next try.
            InfrastructureError: no room, or what arrives is not what was sent, twice.
        """
        named = {file.name: _sha256(file, self.name) for file in files}
        sources = {named[file.name]: file for file in files}
        for again in (False, True):
            damaged = self._send(sources, from_the_start=again)
            if not damaged:
                break
        else:
            raise InfrastructureError(
                "what arrives there is not what was sent",
                where=self.name,
                found=sources[damaged[0]].name,
                remedy="check the device's disk and the network",
            )
        digest = hashlib.sha256(repr(sorted(named.items())).encode()).hexdigest()
        order = [[file.name, named[file.name]] for file in files]
        self.ask({"do": "link", "name": digest[:16], "files": order}, "linked")
        return f"{self.folder}/{digest[:16]}/{files[0].name}"

    def get(self, path: str, to: Path) -> None:
        """Bring the file `path` from there to `to`.

        `path` is read by sftp: it has been checked to be of plain letters.

        Raises:
            ConnectionLostError: the connection broke.
            InfrastructureError: it is not there, or cannot be written here.
        """
        got = self.here / "got"
        got.unlink(missing_ok=True)
        complaint = self._batch(f'get "{path}" "{got}"\n', timeout_s=_LONGEST_GET_S)
        if complaint is not None or not got.is_file():
            raise InfrastructureError(
                "cannot fetch a file", where=self.name, found=complaint or Path(path).name
            )
        try:
            shutil.move(got, to)
        except OSError as error:
            raise InfrastructureError(
                "cannot write on this side", where=str(to), found=error.strerror or str(error)
            ) from error

    def _send(self, sources: dict[str, Path], *, from_the_start: bool) -> list[str]:
        """Send what is missing; return the sha256 of what must be sent from the start."""
        sizes = [[sha256, file.stat().st_size] for sha256, file in sources.items()]
        missing, room = self._offer(self.ask({"do": "missing", "files": sizes}, "offer"), sources)
        wanted = sum(sources[sha256].stat().st_size - sent for sha256, sent in missing)
        if wanted > room:
            raise InfrastructureError(
                "no room on the device",
                where=self.name,
                found=f"{room >> 20} MiB free in its cache folder",
                expected=f"{(wanted >> 20) + 1} MiB",
                remedy="free some there, or set XDG_CACHE_HOME there to another disk",
            )
        with tempfile.TemporaryDirectory(dir=self.here) as folder:
            batch, resumed = "", False
            for at, (sha256, sent) in enumerate(missing):
                goes_on = sent > 0 and not from_the_start
                if goes_on and sent == sources[sha256].stat().st_size:
                    continue  # the last job ended before it was taken over
                resumed = resumed or goes_on
                source = Path(folder) / str(at)  # a name without anything that sftp would read
                source.symlink_to(sources[sha256].resolve())
                batch += f'put {"-a " if goes_on else ""}"{source}" "{self.parts}/{sha256}.part"\n'
            if batch:
                complaint = self._batch(batch, timeout_s=_LEAST_S + wanted / _SLOWEST_BYTES_S)
                if complaint is not None:
                    self.ask({"do": "missing", "files": []}, "offer")  # else the connection broke
                    if resumed:
                        return [sha256 for sha256, _ in missing]
                    raise InfrastructureError(
                        "cannot send a file; is the device's disk full?",
                        where=self.name,
                        found=complaint,
                    )
        return [
            sha256
            for sha256, _ in missing
            if not self.ask({"do": "keep", "sha256": sha256}, "kept")
        ]

    def _offer(self, answer: Any, sources: dict[str, Path]) -> tuple[list[tuple[str, int]], int]:
        """Return what is missing, with the bytes of it that are there, and the free bytes."""
        try:
            missing = [(str(sha256), int(sent)) for sha256, sent in answer["missing"]]
            room = int(answer["free_bytes"])
        except (KeyError, TypeError, ValueError, OverflowError):
            missing, room = [("", 0)], 0
        if not all(
            sha256 in sources and 0 <= sent <= sources[sha256].stat().st_size
            for sha256, sent in missing
        ):
            raise InfrastructureError("the agent's answer cannot be read", where=f"on {self.name}")
        return missing, room

    def _batch(self, batch: str, *, timeout_s: float) -> str | None:
        """Carry out a batch of sftp's commands; None when all went well, else its complaint."""
        with subprocess.Popen(
            list(self.sftp),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                _, complaint = process.communicate(batch.encode(), timeout_s)
            except subprocess.TimeoutExpired:
                raise ConnectionLostError(
                    "the transfer stalled", where=self.name, found=f"no end within {timeout_s:g} s"
                ) from None
            finally:
                _kill(process.pid)
        said = [line for line in printable(complaint.decode(errors="replace")).splitlines() if line]
        if process.returncode == _CONNECTION_LOST:
            raise ConnectionLostError(
                "the connection was lost", where=self.name, found=said[-1] if said else ""
            )
        return None if process.returncode == 0 else said[-1] if said else "sftp failed"


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _sha256(file: Path, device: str) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InfrastructureError(
            "cannot read what is to be sent", where=device, found=str(error)
        ) from error
