"""`.npz` files and folders of them, read row by row.

An `.npz` is a zip of `.npy` members. Nothing in it is trusted: member names must be plain, no
member may hold pickled objects, the header must agree with the member's size, and a member that
unpacks to more than a thousand times its size is refused before it is unpacked.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from edgekit.dataset.contract import LABEL, ArraySpec, Labels, Sample
from edgekit.errors import DataError

_MAX_RATIO = 1000
_RATIO_MATTERS_ABOVE_BYTES = 64 << 20
_MAX_LABEL_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])


@dataclass(frozen=True, slots=True)
class _Shard:
    path: Path
    members: tuple[_Member, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class NpzDataset:
    """One `.npz` or several shards of the same arrays, in the order of their names."""

    source: str
    shards: tuple[_Shard, ...]

    @classmethod
    def open(cls, path: Path) -> NpzDataset:
        """Read the headers of `path`, an `.npz` or a folder of them.

        Raises:
            DataError: unreadable, pickled, inconsistent, or no array in it.
        """
        files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        shards = tuple(_read_headers(file) for file in files)
        first = {m.name: m for m in shards[0].members}
        for shard in shards[1:]:
            for member in shard.members:
                like = first.get(member.name)
                if like is None or like.dtype != member.dtype:
                    raise DataError(
                        f"array {member.name!r} does not match the first shard",
                        where=str(shard.path),
                        found=str(member.dtype),
                        expected=str(like.dtype) if like else f"only {sorted(first)}",
                    )
            if len(shard.members) != len(first):
                raise DataError(
                    "shards hold different arrays",
                    where=str(shard.path),
                    found=str(sorted(m.name for m in shard.members)),
                    expected=str(sorted(first)),
                )
        return cls(str(path), shards)

    def __len__(self) -> int:
        """Return the number of samples in all shards."""
        return sum(shard.rows for shard in self.shards)

    def specs(self) -> dict[str, ArraySpec]:
        """Return what each array looks like."""
        found: dict[str, ArraySpec] = {}
        for shard in self.shards:
            for member in shard.members:
                if member.name == LABEL:
                    continue
                shape: tuple[int, ...] | None = member.shape[1:]
                if member.name in found and found[member.name].shape != shape:
                    shape = None
                found[member.name] = ArraySpec(dtype=member.dtype.name, shape=shape)
        return found

    def samples(self) -> Iterator[Sample]:
        """Yield the samples; at most one row of each array is in memory."""
        for shard in self.shards:
            inputs = [m for m in shard.members if m.name != LABEL]
            with zipfile.ZipFile(shard.path) as archive:
                streams = {m.name: archive.open(f"{m.name}.npy") for m in inputs}
                for member in inputs:
                    _read_header(streams[member.name], shard.path, member.name)
                for _ in range(shard.rows):
                    yield {m.name: _read_row(streams[m.name], m, shard.path) for m in inputs}
                for stream in streams.values():
                    stream.close()

    def labels(self) -> Labels | None:
        """Return the labels of all shards."""
        if not any(m.name == LABEL for m in self.shards[0].members):
            return None
        parts = []
        for shard in self.shards:
            with zipfile.ZipFile(shard.path) as archive, archive.open(f"{LABEL}.npy") as stream:
                parts.append(npy.read_array(stream, allow_pickle=False))
        return np.concatenate(parts)


def _read_headers(path: Path) -> _Shard:
    try:
        with zipfile.ZipFile(path) as archive:
            members = tuple(_read_member(archive, info, path) for info in archive.infolist())
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(
            "not a readable .npz",
            where=str(path),
            found=str(error) or type(error).__name__,
            expected="a file written by numpy.savez",
        ) from error
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=str(error)) from error
    inputs = [m for m in members if m.name != LABEL]
    if not inputs:
        raise DataError(
            "holds no input array",
            where=str(path),
            found=str([m.name for m in members]),
            expected="one array per model input",
        )
    rows = inputs[0].shape[0]
    for member in members:
        if member.shape[0] != rows:
            kind = "labels" if member.name == LABEL else "samples"
            raise DataError(
                f"{member.name!r} has another number of {kind} than {inputs[0].name!r}",
                where=str(path),
                found=str(member.shape[0]),
                expected=str(rows),
            )
    return _Shard(path, members, rows)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> _Member:
    name = info.filename.removesuffix(".npy")
    if not info.filename.endswith(".npy") or "/" in name or "\\" in name or ".." in name:
        raise DataError(
            "unexpected member", where=str(path), found=repr(info.filename), expected="NAME.npy"
        )
    bomb = info.file_size > _MAX_RATIO * max(info.compress_size, 1)
    if bomb and info.file_size > _RATIO_MATTERS_ABOVE_BYTES:
        raise DataError(
            f"array {name!r} unpacks to {info.file_size / max(info.compress_size, 1):.0f} times "
            "its size and is refused",
            where=str(path),
            expected=f"at most {_MAX_RATIO} times",
            remedy="write it with numpy.savez (uncompressed) if it really is that regular",
        )
    with archive.open(info) as stream:
        shape, dtype, header_bytes = _read_header(stream, path, name)
    if not shape:
        raise DataError(
            f"array {name!r} has no sample axis",
            where=str(path),
            found="a scalar",
            expected="first axis = sample",
        )
    promised = math.prod(shape) * dtype.itemsize
    if promised != info.file_size - header_bytes:
        raise DataError(
            f"array {name!r} is truncated or its header lies",
            where=str(path),
            found=f"{info.file_size - header_bytes} bytes",
            expected=f"{promised} bytes for shape {shape} of {dtype}",
        )
    if name == LABEL and promised > _MAX_LABEL_BYTES:
        raise DataError(
            "the labels are too large",
            where=str(path),
            found=f"{promised >> 20} MiB",
            expected=f"at most {_MAX_LABEL_BYTES >> 20} MiB",
        )
    return _Member(name=name, dtype=dtype, shape=shape)


def _read_header(
    stream: IO[bytes], path: Path, name: str
) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"array {name!r} has no readable header", where=str(path), found=str(error)
        ) from error
    if dtype.hasobject:
        raise DataError(
            f"array {name!r} holds pickled objects, which are never loaded",
            where=str(path),
            found="dtype object",
            expected="numbers or fixed-width strings",
            remedy="save it again as a plain array",
        )
    if fortran and len(shape) > 1:
        raise DataError(
            f"array {name!r} is stored column by column",
            where=str(path),
            found="Fortran order",
            expected="C order",
            remedy="save numpy.ascontiguousarray(array)",
        )
    return shape, dtype, stream.tell()


def _read_row(stream: IO[bytes], member: _Member, path: Path) -> np.ndarray:
    try:
        data = stream.read(member.row_bytes)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"array {member.name!r}: {error}", where=str(path)) from error
    if len(data) != member.row_bytes:
        raise DataError(f"array {member.name!r} ends early", where=str(path))
    return np.frombuffer(data, member.dtype).reshape(member.shape[1:])
