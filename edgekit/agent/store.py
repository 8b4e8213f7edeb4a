"""What was sent to this device: files by the sha256 of their content, kept for the next job."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

_QUOTA_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 20
_RESUMABLE_S = 24 * 3600
_RUN_S = 600
_ALIVE = "alive"


class Store:
    """The files of one user's cache, and the folder of one job beside them.

    Args:
        cache: the cache's folder.
        job: what its runs are called; the same after a dropped connection.
        meanwhile: called now and then by what takes long.
    """

    def __init__(self, cache: Path, job: str, meanwhile: Callable[[], None]) -> None:
        self._files, self._parts, self._runs = cache / "files", cache / "parts", cache / "runs"
        self._meanwhile = meanwhile
        self._verified: Dict[str, float] = {}
        self.folder = self._runs / job
        for folder in (self._files, self._parts, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / _ALIVE).touch()
        self.touch()

    def touch(self) -> None:
        """Say that the job is alive, by a clock that never jumps: the time since the boot."""
        now = time.monotonic()
        os.utime(str(self.folder / _ALIVE), (now, now))

    def tidy(self) -> None:
        """Remove the folders of dead jobs and stale parts; only while no other job can run.

        Parts go by the wall clock: where that jumps by days, an upload begins anew.
        """
        for run in self._runs.iterdir():
            if run != self.folder and not _is_alive(run):
                shutil.rmtree(str(run), ignore_errors=True)
        for part in self._parts.iterdir():
            if time.time() - part.stat().st_mtime > _RESUMABLE_S:
                part.unlink()
        self._keep_to(_QUOTA_BYTES)

    def missing(self, files: Sequence[Tuple[str, int]]) -> Dict[str, Any]:
        """Say which files (sha256, size) must be sent, from which byte on, and what room there is.

        What was kept is read again: sizes lie after a power cut, hashes don't.
        """
        wanted: List[List[Any]] = []
        for sha256, size in files:
            if sha256 not in [each[0] for each in wanted] and not self._has(sha256):
                wanted.append([sha256, self._sent(sha256, size)])
        rest = sum(size for _, size in files) - sum(sent for _, sent in wanted)
        if wanted and self._free() < rest:
            self._keep_to(max(0, _size(self._files) - rest))
        return {"missing": wanted, "free_bytes": self._free()}

    def keep(self, sha256: str) -> bool:
        """Take over a sent file; False, and it is gone, when it is not what it should be."""
        part = self._part(sha256)
        if self._sha256(part) != sha256:
            part.unlink()
            return False
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(self._files / sha256)
        self._verified[sha256] = (self._files / sha256).stat().st_mtime
        return True

    def link(self, name: str, files: Sequence[Tuple[str, str]]) -> None:
        """Lay files (name, sha256) side by side in the job's folder `name`."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for called, sha256 in files:
            place, kept = folder / Path(called).name, self._files / sha256
            if place.exists():
                continue
            try:
                os.link(str(kept), str(place))
            except OSError:  # a file system without links
                shutil.copyfile(str(kept), str(place))

    def remove_folder(self) -> None:
        """Remove the job's folder."""
        shutil.rmtree(str(self.folder), ignore_errors=True)

    def _has(self, sha256: str) -> bool:
        file = self._files / sha256
        if not file.exists():
            return False
        if self._verified.get(sha256) != file.stat().st_mtime:
            if self._sha256(file) != sha256:
                file.unlink()
                return False
            os.utime(str(file))
            self._verified[sha256] = file.stat().st_mtime
        return True

    def _sent(self, sha256: str, size: int) -> int:
        part = self._part(sha256)
        if not part.exists():
            return 0
        sent = part.stat().st_size
        if sent <= size:
            return sent
        part.unlink()
        return 0

    def _part(self, sha256: str) -> Path:
        return self._parts / (sha256 + ".part")

    def _sha256(self, file: Path) -> str:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
                digest.update(chunk)
                self._meanwhile()
        return digest.hexdigest()

    def _free(self) -> int:
        status = os.statvfs(str(self._files))
        return status.f_bavail * status.f_frsize

    def _keep_to(self, quota_bytes: int) -> None:
        """Remove what was not used for longest; what a job has linked stays."""
        kept = [(file, file.stat()) for file in self._files.iterdir()]
        total = sum(status.st_size for _, status in kept)
        for file, status in sorted(kept, key=lambda each: each[1].st_mtime):
            if total <= quota_bytes:
                return
            if status.st_nlink == 1 and time.time() - status.st_mtime > _RUN_S:
                file.unlink()
                total -= status.st_size


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _is_alive(run: Path) -> bool:
    """Say whether a job may come back to its folder; one from before the boot cannot."""
    try:
        silent_s = time.monotonic() - (run / _ALIVE).stat().st_mtime
    except OSError:
        return False
    return 0 <= silent_s <= _RUN_S
