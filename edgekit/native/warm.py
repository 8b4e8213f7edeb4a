"""The host's handle on the warm server: started by the first call, restarted if it dies."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
from typing import IO

from edgekit.native import control

_STOP_S = 5.0
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from edgekit.native.server import main
main({descriptor})
"""


class Warm:
    """One server process; its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._words: IO[bytes] | None = None

    def run(
        self, *, memory_bytes: int, cpu_s: int, module: str, descriptors: tuple[int, ...]
    ) -> int:
        """Order a call and return its number; see `control.send_order`."""
        with self._lock:
            number = next(self._numbers)
            for attempt in (1, 2):
                try:
                    control.send_order(
                        self._connected(),
                        control.RUN,
                        number,
                        memory_bytes=memory_bytes,
                        cpu_s=cpu_s,
                        module=module,
                        descriptors=descriptors,
                    )
                    break
                except ConnectionError:
                    self._stop()
                    if attempt == 2:  # noqa: PLR2004  # the last one
                        raise
            return number

    def kill(self, number: int) -> None:
        """Order that everything of call `number` be killed."""
        with self._lock, contextlib.suppress(ConnectionError):
            if self._socket is not None:
                control.send_order(self._socket, control.KILL, number)

    def last_words(self) -> str:
        """Return the last line that the server itself wrote to its error output."""
        if self._words is None:
            return ""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def stop(self) -> None:
        """End the server and all that runs in it."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """In a fork of this process: let go of the server, which belongs to the parent."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.returncode = 0
        self.__init__()  # type: ignore[misc]

    def _connected(self) -> socket.socket:
        if self._socket is None or self._process is None or self._process.poll() is not None:
            self._stop()
            self._start()
        assert self._socket is not None  # noqa: S101  # _start sets it
        return self._socket

    def _start(self) -> None:
        self._socket, there = socket.socketpair()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # closed by _stop
        with there:
            program = _PROGRAM.format(path=sys.path, descriptor=there.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                pass_fds=(there.fileno(),),
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._words is not None:
            self._words.close()
        self._socket = self._process = self._words = None


WARM = Warm()
atexit.register(WARM.stop)
os.register_at_fork(after_in_child=WARM.forget)
