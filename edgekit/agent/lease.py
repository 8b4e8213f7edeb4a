"""What the host says over a connection, and how this process ends when it says nothing more."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, NoReturn, Optional

LEASE_S = 60
_CHUNK_BYTES = 1 << 16


class LapsedError(Exception):
    """The connection is gone, or the host was silent for too long."""


class Lease:
    """Commands of the host, and its beats: while they come, this process may live.

    An alarm of the kernel backs it: even a write that blocks for ever ends with the lease.

    Args:
        descriptor: what commands arrive on.
        answer: called with the answer to each beat.
    """

    def __init__(self, descriptor: int, answer: Callable[[Dict[str, Any]], None]) -> None:
        self._descriptor, self._answer = descriptor, answer
        self._rest = b""
        self._commands: Deque[Dict[str, Any]] = deque()
        signal.signal(signal.SIGALRM, _lapse)
        signal.alarm(LEASE_S)

    def command(
        self, within_s: Optional[float] = None, *, unless: Optional[int] = None
    ) -> Optional[Dict[str, Any]]:
        """Return the next command; None when `within_s` is over or `unless` can be read first.

        Raises:
            LapsedError: there will be no more.
        """
        until = None if within_s is None else time.monotonic() + within_s
        watched = [self._descriptor] + ([] if unless is None else [unless])
        while not self._commands:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            ready = select.select(watched, [], [], left_s)[0]
            if self._descriptor in ready:
                self._read()
            else:
                return None
        return self._commands.popleft()

    def attend(self) -> None:
        """Answer the beats that have come: to be called now and then by what takes long."""
        while select.select([self._descriptor], [], [], 0)[0]:
            self._read()

    def _read(self) -> None:
        chunk = os.read(self._descriptor, _CHUNK_BYTES)
        if not chunk:
            raise LapsedError
        signal.alarm(LEASE_S)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line.decode("utf-8"))
            if command["do"] == "beat":
                self._answer({"beat": True})
            else:
                self._commands.append(command)


def _lapse(_number: int, _frame: Any) -> NoReturn:
    raise LapsedError
