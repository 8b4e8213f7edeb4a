"""Temporary folders: those that a killed process left behind go when the next one makes its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_OWN = "edgekit-run-"
_LOCK = ".lock"

_around: Path | None = None


class Scratch:
    """A private folder.

    A living process holds a lock on each of its own, so whatever of the same kind, place and user
    is not locked is left of a dead one, and removed.

    Args:
        prefix: of the folder's name; tells its kind.
        parent: where it lies.
    """

    def __init__(self, prefix: str, parent: Path) -> None:
        _sweep(prefix, parent)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.path / _LOCK).exists():
                break
            os.close(self._lock)  # another process took it for a dead one's before it was locked

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextlib.contextmanager
def one_for_all() -> Iterator[None]:
    """Let every temporary file of this process lie in one folder, which goes in the end.

    Where none can be made, they lie where they would.
    """
    global _around  # as `tempfile.tempdir` is
    before = tempfile.tempdir
    try:
        around = Path(tempfile.gettempdir())
        own = Scratch(_OWN, around)
    except OSError:
        yield
        return
    _around, tempfile.tempdir = around, str(own.path)
    try:
        yield
    finally:
        _around, tempfile.tempdir = None, before
        own.close()


def lasting() -> Path:
    """Return the folder for a temporary file that is to outlive this process."""
    return _around or Path(tempfile.gettempdir())


def _sweep(prefix: str, parent: Path) -> None:
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if left.is_symlink() or left.stat().st_uid != os.getuid():
                continue
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
