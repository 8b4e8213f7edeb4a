"""A running agent at the other end of an ssh process: commands go, answers come."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from edgekit.devices.contract import ConnectionLostError
from edgekit.errors import InfrastructureError, printable

_BEAT_S = 4.0
_SILENCE_S = 15.0
_CHUNK_BYTES = 1 << 16
_LONGEST_BYTES = 64 << 20
_COMPLAINT_BYTES = 4000
_END_S = 3.0


class SshChannel:
    """Lines to and from a remote command.

    While it lives, a beat goes out every few seconds: the agent ends itself without. Whoever waits
    for an answer hears at least the beats' answers; 15 s of silence are a lost connection.
    """

    def __init__(self, argv: Sequence[str], *, name: str) -> None:
        self._name, self._rest = name, b""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,
            )
        except OSError as error:
            self._complaints.close()
            raise InfrastructureError(
                f"{argv[0]} cannot be started",
                where=name,
                found=str(error),
                remedy="install OpenSSH's client",
            ) from error
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def write(self, content: bytes) -> None:
        """Send bytes as they are.

        Raises:
            ConnectionLostError: nobody is there any more.
        """
        stream = self._process.stdin
        assert stream is not None  # noqa: S101  # asked for by stdin=PIPE
        try:
            with self._writing:
                stream.write(content)
                stream.flush()
        except (OSError, ValueError):
            raise self._lost("the connection was closed") from None

    def send(self, command: dict[str, Any]) -> None:
        """Send one command."""
        self.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")

    def start_beats(self) -> None:
        """From now on say regularly that this side is alive."""
        self._beats.start()

    def line(self, within_s: float) -> bytes:
        """Return the next line.

        Args:
            within_s: how long nothing may be heard.

        Raises:
            ConnectionLostError: there is none any more, or nothing at all was heard for too long.
        """
        output = self._process.stdout
        assert output is not None  # noqa: S101  # asked for by stdout=PIPE
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if len(self._rest) > _LONGEST_BYTES:
                    raise InfrastructureError("the agent's answer has no end", where=self._name)
                if not selector.select(within_s):
                    raise self._lost(f"nothing was heard for {within_s:g} s")
                chunk = os.read(output.fileno(), _CHUNK_BYTES)
                if not chunk:
                    raise self._lost("the connection was closed")
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def answer(self, within_s: float = _SILENCE_S) -> dict[str, Any]:
        """Return the next answer that is not a beat's.

        Args:
            within_s: how long to wait for anything at all; beats' answers begin it anew.

        Raises:
            ConnectionLostError: as `line`.
            InfrastructureError: what comes is no answer.
        """
        while True:
            answer = _read(self.line(within_s), self._name)
            if "beat" not in answer:
                return answer

    def code(self) -> int:
        """Return the exit code of the ssh process, waiting for it shortly."""
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

    def complaint(self) -> str:
        """Return the end of what ssh said on standard error, where lines end as a terminal's."""
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - _COMPLAINT_BYTES))
        return self._complaints.read().decode(errors="replace").replace("\r\n", "\n")

    def end(self, *, in_order: bool) -> None:
        """End the connection; in order, the agent removes its folder first."""
        self._over.set()
        if in_order:
            with contextlib.suppress(InfrastructureError):
                self.send({"do": "close"})
                self._hear_out()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._beats.is_alive():
            self._beats.join()
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _hear_out(self) -> None:
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            self.line(max(0.0, until - time.monotonic()))

    def _beat(self) -> None:
        with contextlib.suppress(InfrastructureError):
            while not self._over.wait(_BEAT_S):
                self.send({"do": "beat"})

    def _lost(self, why: str) -> ConnectionLostError:
        said = [line for line in printable(self.complaint()).splitlines() if line.strip()]
        found = said[-1] if said else why
        return ConnectionLostError("the connection was lost", where=self._name, found=found)


def _read(line: bytes, name: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise InfrastructureError(
            "the agent's answer cannot be read", where=name, found=repr(line[:80])
        )
    return answer
