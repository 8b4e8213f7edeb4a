"""Samples on disk as plain arrays, so that any of them can be had at once, in bounded memory.

Samples of equal shapes lie together in a bucket.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Dataset, Sample

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An array in a file of its own.

    Attributes:
        shape: the first axis is the samples'.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]

    def open(self) -> Array:
        """Return the array, mapped for reading."""
        if not math.prod(self.shape):
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.file, self.dtype, "r", shape=self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Samples of equal shapes.

    Attributes:
        numbers: place of each sample in the data, ascending; with it go its label and its views.
        inputs: by input of the model.
    """

    numbers: npt.NDArray[np.int64]
    inputs: Mapping[str, Stored]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """All samples of a part of the data.

    Attributes:
        digest: sha256 over all values.
    """

    buckets: tuple[Bucket, ...]
    digest: str

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(len(bucket) for bucket in self.buckets)


def pack(data: Dataset, folder: Path) -> Packed:
    """Write all samples into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    open_buckets: dict[tuple[Any, ...], _Filling] = {}
    try:
        for number, sample in enumerate(data.samples()):
            key = tuple(
                (name, sample[name].shape, sample[name].dtype.str) for name in sorted(sample)
            )
            if key not in open_buckets:
                open_buckets[key] = _Filling(folder, len(open_buckets), sample)
                digest.update(repr(key).encode())
            for content in open_buckets[key].add(number, sample):
                digest.update(content)
    finally:
        for bucket in open_buckets.values():
            bucket.close()
    return Packed(
        buckets=tuple(bucket.filled() for bucket in open_buckets.values()),
        digest=digest.hexdigest(),
    )


class _Filling:
    """A bucket that is being filled."""

    def __init__(self, folder: Path, place: int, like: Sample) -> None:
        self._files = {name: folder / f"{place}-{at}.bin" for at, name in enumerate(sorted(like))}
        self._streams: dict[str, IO[bytes]] = {}
        self._like = like
        self._numbers: list[int] = []
        for name, file in self._files.items():
            self._streams[name] = file.open("wb")

    def add(self, number: int, sample: Sample) -> Iterator[bytes]:
        """Write a sample, and yield what was written."""
        self._numbers.append(number)
        for name, stream in self._streams.items():
            content = np.ascontiguousarray(sample[name]).tobytes()
            stream.write(content)
            yield content

    def close(self) -> None:
        """Write all of it down."""
        for stream in self._streams.values():
            stream.close()

    def filled(self) -> Bucket:
        """Return what is there now."""
        return Bucket(
            numbers=np.array(self._numbers, np.int64),
            inputs={
                name: Stored(
                    file=file,
                    dtype=self._like[name].dtype.str,
                    shape=(len(self._numbers), *self._like[name].shape),
                )
                for name, file in self._files.items()
            },
        )
