"""One job a device: an exclusive lock that goes with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Optional

from .wire import AgentError

_PLACE = "/tmp/edgekit.lock"  # noqa: S108  # one for all users of the device: never followed, never trusted
_ELSEWHERE = "EDGEKIT_LOCK"
_LONGEST_BYTES = 300


class DeviceLock:
    """The lock of this device, whoever its users are.

    `EDGEKIT_LOCK` names another file, where several devices are one machine: containers, tests.

    Raises:
        AgentError: it cannot be opened.
    """

    def __init__(self) -> None:
        self._path = os.environ.get(_ELSEWHERE) or _PLACE
        try:
            self._descriptor = _open(self._path)
        except OSError as error:
            message = "the lock %s cannot be opened: %s" % (self._path, error.strerror)
            raise AgentError("device", message) from error

    def take(self, holder: str) -> Optional[str]:
        """Take the lock for `holder`; None when it is ours, else who holds it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return self._told()
        if not self._is_in_place():
            os.close(self._descriptor)
            self._descriptor = _open(self._path)
            return self.take(holder)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        told = ("%s, since %s" % (holder, since)).encode("utf-8")[:_LONGEST_BYTES]
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, told, 0)
        return None

    def holder(self) -> Optional[str]:
        """Return who holds it just now; None when nobody does."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self._told()
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return None

    def _told(self) -> str:
        told = os.pread(self._descriptor, _LONGEST_BYTES, 0).decode("utf-8", "replace")
        return told or "another job"

    def _is_in_place(self) -> bool:
        """Say whether the locked file is still the one that others would open."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), Path(self._path).stat())
        except OSError:
            return False


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o666)  # other users' jobs open it, too
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "not a file")
        return descriptor
