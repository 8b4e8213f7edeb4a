"""Data from the user's own code: `module:callable` that yields one dict a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.dataset.contract import LABEL, ArraySpec, Labels, Sample
from edgekit.errors import DataError
from edgekit.reference import resolve


@dataclass(frozen=True, slots=True)
class GeneratedDataset:
    """Samples from a callable; it is called anew for each pass and must repeat itself."""

    source: str
    count: int
    arrays: tuple[tuple[str, ArraySpec], ...]
    labelled: bool

    @classmethod
    def open(cls, source: str) -> GeneratedDataset:
        """Run through the callable once to count its samples.

        Raises:
            UsageError: there is no such callable.
            DataError: it does not yield dicts of arrays with the same keys.
        """
        arrays: dict[str, ArraySpec] = {}
        labelled, count = False, 0
        for index, item in enumerate(_items(source)):
            count += 1
            here = {k: np.asarray(v) for k, v in item.items() if k != LABEL}
            if index == 0:
                labelled = LABEL in item
                arrays = {k: ArraySpec(dtype=v.dtype.name, shape=v.shape) for k, v in here.items()}
            elif set(here) != set(arrays) or labelled != (LABEL in item):
                raise DataError(
                    f"sample {index} has other keys than the first",
                    where=source,
                    found=str(sorted(item)),
                    expected=str(sorted(arrays)),
                )
            for name, value in here.items():
                if arrays[name].shape != value.shape:
                    arrays[name] = ArraySpec(dtype=arrays[name].dtype, shape=None)
        return cls(source, count, tuple(arrays.items()), labelled)

    def __len__(self) -> int:
        """Return the number of samples counted."""
        return self.count

    def specs(self) -> dict[str, ArraySpec]:
        """Return what each array looks like."""
        return dict(self.arrays)

    def samples(self) -> Iterator[Sample]:
        """Yield the callable's samples."""
        for item in _items(self.source):
            yield {k: np.asarray(v) for k, v in item.items() if k != LABEL}

    def labels(self) -> Labels | None:
        """Return the labels that the callable yields under `label`."""
        if not self.labelled:
            return None
        return np.array([item[LABEL] for item in _items(self.source)])


def _items(source: str) -> Iterator[dict[str, Any]]:
    for item in resolve(source, where="--data")():
        if not isinstance(item, dict):
            raise DataError(
                "the callable must yield dicts",
                where=source,
                found=type(item).__name__,
                expected="{input name: array without the sample axis}",
            )
        yield item
