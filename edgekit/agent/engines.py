"""Engines that TensorRT built on this device, kept for the next job: building takes minutes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Sequence

_QUOTA_BYTES = 2 << 30
_CHUNK_BYTES = 1 << 20


def engine_file(model: str, how: Sequence[str]) -> Path:
    """Return where the engine of `model`, built in the way `how`, is or belongs.

    It is named by content, that of the model with all that lies beside it, so that an engine never
    serves another model. What was not used for longest goes when there are more than 2 GiB.
    """
    engine = _folder() / ("%s.engine" % _digest(Path(model), how))
    if engine.exists():
        os.utime(str(engine))
    _keep_to(_QUOTA_BYTES, engine)
    return engine


def engine_folder(model: str) -> Path:
    """Return the folder for engines of `model` whose names tell how they were built."""
    folder = _folder() / _digest(Path(model), ())
    folder.mkdir(exist_ok=True)
    _keep_to(_QUOTA_BYTES, folder)
    return folder


def timing_cache(version: str) -> Path:
    """Return where that version of TensorRT keeps how fast kernels were on this device."""
    return _folder() / ("timing-%s.cache" % version)


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "edgekit" / "engines"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _digest(model: Path, how: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(list(how)).encode("utf-8"))
    for file in sorted(each for each in model.parent.iterdir() if each.is_file()):
        digest.update(repr((file.name, file.stat().st_size)).encode("utf-8"))
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
                digest.update(chunk)
    return digest.hexdigest()


def _keep_to(quota_bytes: int, but: Path) -> None:
    kept = [(file, file.stat()) for file in _folder().rglob("*") if file.is_file()]
    total = sum(status.st_size for _, status in kept)
    for file, status in sorted(kept, key=lambda each: each[1].st_mtime):
        if total <= quota_bytes:
            return
        if but not in (file, file.parent):
            file.unlink()
            total -= status.st_size
