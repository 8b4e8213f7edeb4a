"""This machine as a device: the same agent, as a subprocess."""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from edgekit.devices.agent_call import ask
from edgekit.devices.contract import Finished
from edgekit.errors import InfrastructureError

_COMPLAINT_BYTES = 4000
_CHUNK_BYTES = 1 << 20
_CHECK_S = 60.0


class LocalDevice:
    """Works in a private temporary folder that goes with it."""

    def __init__(self, name: str = "local", *, python: str = sys.executable) -> None:
        self.name, self.python = name, python
        self._root: Path | None = None
        self._environment: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        """See `Device`."""
        self._root = Path(tempfile.mkdtemp(prefix="edgekit-device-"))
        return self

    def __exit__(self, *_: object) -> None:
        """See `Device`."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None

    def put(self, *files: Path) -> str:
        """See `Device`."""
        try:
            digest = hashlib.sha256()
            for file in files:
                digest.update(file.name.encode() + b"\0" + _sha256(file))
            place = self._home / "files" / digest.hexdigest()
            if not place.exists():
                part = place.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
                for file in files:
                    shutil.copyfile(file, part / file.name)
                part.replace(place)
        except OSError as error:
            raise InfrastructureError(
                "cannot copy to the device's folder", where=self.name, found=str(error)
            ) from error
        return str(place / files[0].name)

    def folder(self) -> str:
        """See `Device`."""
        return tempfile.mkdtemp(prefix="job-", dir=self._home)

    def get(self, path: str, to: Path) -> None:
        """See `Device`."""
        try:
            shutil.copyfile(path, to)
        except OSError as error:
            raise InfrastructureError(
                "cannot fetch a file", where=self.name, found=str(error)
            ) from error

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: Callable[[str], None]
    ) -> Finished:
        """See `Device`."""
        with tempfile.TemporaryFile(dir=self._home) as complaints:
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    cwd=self._home,
                    env={
                        **os.environ,
                        "ORT_DISABLE_TELEMETRY": "1",
                        "PYTHONDONTWRITEBYTECODE": "1",
                    },
                    start_new_session=True,
                )
            except OSError as error:
                raise InfrastructureError(
                    "cannot start", where=argv[0], found=str(error)
                ) from error
            try:
                _pass_lines(process, on_line, time.monotonic() + timeout_s)
                code = process.wait()
            except TimeoutError:
                raise InfrastructureError(
                    f"no end within {timeout_s:g} s", where=self.name
                ) from None
            finally:
                _kill(process)
            size = complaints.seek(0, os.SEEK_END)
            complaints.seek(max(0, size - _COMPLAINT_BYTES))
            return Finished(code=code, complaint=complaints.read().decode(errors="replace"))

    def environment(self) -> dict[str, Any]:
        """See `Device`."""
        if self._environment is None:
            answer = ask(self, "check", {}, timeout_s=_CHECK_S)
            self._environment = dict(answer["environment"])
        return self._environment

    def providers(self) -> tuple[str, ...]:
        """See `Device`."""
        found = self.environment()["providers"]
        return tuple(found) if isinstance(found, list) else ()

    def describe(self) -> str:
        """See `Device`."""
        return f"{self.environment()['machine']} with {', '.join(self.providers()) or 'no runtime'}"

    @property
    def _home(self) -> Path:
        if self._root is None:
            raise InfrastructureError("the device is not connected", where=self.name)
        return self._root


def _sha256(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _pass_lines(
    process: subprocess.Popen[bytes], on_line: Callable[[str], None], deadline: float
) -> None:
    assert process.stdout is not None  # noqa: S101  # asked for by stdout=PIPE
    descriptor, rest = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(descriptor, _CHUNK_BYTES)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace"))
    if rest:
        on_line(rest.decode(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group; what has ended already does not mind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
