"""Private folders that hold verified copies of a model's files while the process lives."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
from pathlib import Path

from edgekit.errors import ModelError
from edgekit.graph.external import DataFile
from edgekit.scratch import Scratch, lasting

_PREFIX = "edgekit-room-"
_FICLONE = 0x40049409
_CHUNK_BYTES = 4 << 20


class Room:
    """A private folder; on a disk rather than in memory where that is to be had.

    Rooms that a killed process left behind are removed when the next one is opened.
    """

    def __init__(self) -> None:
        self._scratch = Scratch(_PREFIX, _parent())
        self.path = self._scratch.path

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._scratch.close()

    def keep(self) -> None:
        """Let the folder live until this process ends: weights are mapped from it."""
        atexit.register(_close_in, os.getpid(), self)


def _close_in(pid: int, room: Room) -> None:
    if os.getpid() == pid:
        room.close()


def _parent() -> Path:
    on_disk = Path("/var/tmp")  # noqa: S108  # mkdtemp makes the folder private
    usable = "TMPDIR" not in os.environ and os.access(on_disk, os.W_OK)
    return on_disk if usable else lasting()


def copy_into(room: Path, file: DataFile, *, follow_links: bool) -> None:
    """Copy one verified data file to its location in `room`; holes stay holes.

    The blocks are shared with the original where the file system can.

    Raises:
        ModelError: it is no longer the file that was verified, or there is no space.
    """
    target = room / file.location
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
        source_fd = os.open(file.path, flags)
        try:
            state = os.fstat(source_fd)
            if (state.st_dev, state.st_ino, state.st_size) != file.identity:
                raise ModelError("external data changed while loading", where=file.location)
            target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _copy(source_fd, target_fd, state.st_size)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)
    except OSError as error:
        raise ModelError(
            "external data cannot be copied",
            where=file.location,
            found=error.strerror or str(error),
            remedy="free space there, or set TMPDIR to a roomier folder",
        ) from None


def _copy(source: int, target: int, size: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return
    os.ftruncate(target, size)
    at = 0
    while at < size:
        at, end = _next_data(source, at, size)
        while at < end:
            chunk = os.pread(source, min(_CHUNK_BYTES, end - at), at)
            if not chunk:
                return
            at += os.pwrite(target, chunk, at)


def _next_data(source: int, at: int, size: int) -> tuple[int, int]:
    """Return where the next bytes that are no hole begin and end."""
    try:
        start = os.lseek(source, at, os.SEEK_DATA)
        return start, os.lseek(source, start, os.SEEK_HOLE)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (at, size)
