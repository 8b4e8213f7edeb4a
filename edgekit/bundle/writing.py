"""Writing a bundle, so that at any moment its place holds nothing, the old one, or the new one.

It is built in a hidden folder beside its place, synced, and put there in one rename. No manifest
means no bundle.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit import graph
from edgekit.bundle.contents import (
    MANIFEST,
    MEASUREMENTS,
    MODEL,
    SCHEMA,
    TFLITE_MODEL,
    contents,
    is_finished,
    manifest,
    model_name,
    sha256,
)
from edgekit.candidate import Candidate
from edgekit.errors import ModelError, OutputError
from edgekit.result import Result, json_value

_OWN_NAMES = (MODEL, TFLITE_MODEL, MANIFEST, MEASUREMENTS)
_NEW, _OLD = "new", "old"
_CHUNK_BYTES = 1 << 20


def check_out(out: str | Path, *, force: bool) -> None:
    """Refuse early what `write` would refuse in the end. Changes nothing.

    Raises:
        OutputError: there is a bundle and no `force`, something that is no bundle, or a folder
            that cannot be written.
    """
    place = Path(out)
    parent = place.absolute().parent
    if not parent.is_dir():
        raise OutputError("no such folder", where=str(parent), remedy="make it, or name another")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError("cannot be written", where=str(parent), remedy="name another with --out")
    if place.is_symlink():
        raise OutputError("is a link", where=str(place), expected="a folder or nothing")
    if not place.exists():
        return
    if not place.is_dir():
        raise OutputError("is not a folder", where=str(place), remedy="name another with --out")
    if not any(place.iterdir()):
        return
    if not is_finished(place):
        raise OutputError(
            "a folder that is no bundle lies there",
            where=str(place),
            remedy="name another with --out; it is never overwritten",
        )
    if not force:
        raise OutputError(
            "a finished bundle lies there",
            where=str(place),
            remedy="replace it with --force, or name another with --out",
        )
    foreign = sorted(set(contents(place)) - set(manifest(place)["files"]) - {MANIFEST})
    if foreign:
        raise OutputError(
            "holds files that are not the bundle's",
            where=str(place),
            found=", ".join(map(repr, foreign[:3])),
            remedy="move them away first",
        )


def write(
    out: str | Path,
    result: Result,
    model_file: Path,
    *,
    reports: Mapping[str, str] | None = None,
    force: bool = False,
) -> Path:
    """Write a bundle and return its folder.

    Args:
        out: where; nothing, an empty folder, or with `force` a finished bundle.
        result: goes into manifest and measurements.
        model_file: the chosen candidate's file; its external data is taken along.
        reports: text of further files, by file name, e.g. `report.html`.
        force: replace a finished bundle.

    Raises:
        OutputError: it cannot be written; what was there is as it was.
        ModelError: the model file is not the chosen candidate any more.
    """
    place = Path(out).absolute()
    if place.parent.is_dir():
        _sweep(place)
    check_out(out, force=force)
    with _building(place) as new:
        _copy_model(model_file, new, result.chosen_candidate)
        for name, text in (reports or {}).items():
            _write(new / _plain_name(name), text.encode())
        value = json_value(_portable(result))
        measurements = {"schema_version": SCHEMA, "measurements": value.pop("measurements")}
        _write(new / MEASUREMENTS, _json(measurements))
        hashes = {name: sha256(new / name) for name in sorted(contents(new))}
        complete = {**value, "kind": "bundle", "schema_version": SCHEMA, "files": hashes}
        _write(new / MANIFEST, _json(complete))
        for folder, _, _ in os.walk(new):
            _sync(Path(folder))
        _exchange(new, place)
    return Path(out)


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    """Give a new folder that can be moved to `place`; it is gone afterwards if it was not.

    It lies in a hidden folder beside `place`, which is locked while the writing lasts.
    """
    hidden = None
    try:
        hidden = Path(tempfile.mkdtemp(dir=place.parent, prefix=_prefix(place), suffix=".part"))
        with _locked(hidden):
            (hidden / _NEW).mkdir()
            yield hidden / _NEW
    except OSError as error:
        raise OutputError(
            "cannot be written",
            where=str(place),
            found=error.strerror or str(error),
            remedy="free space, or name another folder with --out; nothing there has changed",
        ) from error
    finally:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)


def _prefix(place: Path) -> str:
    return f".{place.name}."


def _sweep(place: Path) -> None:
    """Clean up after writers that were killed: living ones hold a lock.

    Where the old bundle had been put aside and the new one was not in place yet, the old one
    returns.
    """
    for hidden in place.parent.iterdir():
        is_ours = hidden.name.startswith(_prefix(place)) and hidden.suffix == ".part"
        if not is_ours or hidden.is_symlink() or not hidden.is_dir():
            continue
        with suppress(OSError), _locked(hidden):
            if (hidden / _OLD).exists() and not place.exists():
                (hidden / _OLD).rename(place)
            shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _copy_model(model_file: Path, new: Path, chosen: Candidate) -> None:
    source = model_file.absolute()
    try:
        files = graph.model_files(source)
        for file in files:
            name = model_name(file) if file == files[0] else _inner(file, source.parent)
            target = new / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as reading, target.open("xb") as writing:
                shutil.copyfileobj(reading, writing, _CHUNK_BYTES)
                writing.flush()
                os.fsync(writing.fileno())
    except FileNotFoundError as error:
        raise ModelError("gone", where=str(error.filename)) from None
    if graph.file_sha256(new / model_name(source)) != chosen.sha256:
        raise ModelError("changed while it was measured", where=str(model_file))


def _inner(file: Path, folder: Path) -> str:
    """Return the path of external data within the bundle; it keeps its place beside the model."""
    name = os.path.normpath(os.path.relpath(file, folder))
    if Path(name).is_absolute() or Path(name).parts[0] in {os.pardir, *_OWN_NAMES}:
        raise ModelError("external data cannot lie in a bundle", where=name)
    return name


def _plain_name(name: str) -> str:
    if name != Path(name).name or name.startswith(".") or name in _OWN_NAMES:
        raise ValueError(f"not the name of a report: {name!r}")
    return name


def _portable(result: Result) -> Result:
    """Name files as they are called in the bundle, without this machine's folders."""
    return replace(
        result,
        candidates=tuple(
            replace(
                item,
                file=Path(model_name(item.file) if item.name == result.chosen else item.file.name),
            )
            for item in result.candidates
        ),
    )


def _exchange(new: Path, place: Path) -> None:
    """Put `new` at `place`, in one step where the file system can exchange two folders."""
    if not place.exists() or not any(place.iterdir()):
        new.replace(place)
    elif not _swap(new, place):
        old = new.with_name(_OLD)
        place.replace(old)
        try:
            new.replace(place)
        except BaseException:
            old.replace(place)
            raise
    _sync(place.parent)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders atomically; False where the system or file system cannot."""
    if sys.platform != "linux":
        return False
    exchange, here = 2, -100
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    if library.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.EXDEV}:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _write(file: Path, content: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
