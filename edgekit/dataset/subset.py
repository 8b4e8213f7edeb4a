"""Parts of a dataset: evenly spread over it, or chosen by the samples' content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgekit.dataset.contract import ArraySpec, Dataset, Labels, Sample
from edgekit.errors import DataError

_BUCKETS = 1 << 32


@dataclass(frozen=True, slots=True)
class Subset:
    """Some samples of another dataset, in its order."""

    base: Dataset
    indexes: tuple[int, ...]

    @property
    def source(self) -> str:
        """The source of the whole."""
        return self.base.source

    def __len__(self) -> int:
        """Return the number of samples in this part."""
        return len(self.indexes)

    def specs(self) -> dict[str, ArraySpec]:
        """Return the specs of the whole."""
        return self.base.specs()

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of this part."""
        wanted = iter(self.indexes)
        following = next(wanted, None)
        for index, sample in enumerate(self.base.samples()):
            if following is None:
                return
            if index == following:
                yield sample
                following = next(wanted, None)

    def labels(self) -> Labels | None:
        """Return the labels of this part."""
        labels = self.base.labels()
        return None if labels is None else labels[np.asarray(self.indexes, dtype=np.intp)]


def spread(data: Dataset, most: int) -> Dataset:
    """Return at most `most` samples of `data`, evenly spread over it; the same ones each time."""
    total = len(data)
    if total <= most:
        return data
    return Subset(data, tuple(index * total // most for index in range(most)))


def held_out(data: Dataset, share: float = 0.2) -> tuple[Dataset, Dataset]:
    """Split `data` by a hash of each sample: (to calibrate with, to judge by).

    The same sample falls on the same side in whatever order or file it comes.

    Raises:
        DataError: too few samples to hold any out.
    """
    kept: list[int] = []
    out: list[int] = []
    for index, sample in enumerate(data.samples()):
        digest = hashlib.sha256()
        for name in sorted(sample):
            digest.update(np.ascontiguousarray(sample[name]).tobytes())
        bucket = int.from_bytes(digest.digest()[:4], "big")
        (out if bucket < share * _BUCKETS else kept).append(index)
    if not kept or not out:
        raise DataError(
            "too few samples to hold some out for judging",
            where=data.source,
            found=str(len(data)),
            expected="about 10 or more",
            remedy="give more samples, or data to judge by with --eval",
        )
    return Subset(data, tuple(kept)), Subset(data, tuple(out))
