"""What a dataset is: samples in a fixed order, streamed, never loaded whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

LABEL = "label"
Sample = dict[str, npt.NDArray[np.generic]]
Labels = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """What one model input looks like in the data.

    Attributes:
        dtype: numpy name of the element type.
        shape: of one sample, without the sample axis; None where samples differ.
    """

    dtype: str
    shape: tuple[int, ...] | None


@runtime_checkable
class Dataset(Protocol):
    """Samples for a model. It holds paths and no data, so it can be sent to a child process."""

    @property
    def source(self) -> str:
        """The path or callable as the user named it, for messages."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def specs(self) -> dict[str, ArraySpec]:
        """Return what each array looks like, by name, without the labels."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Yield each sample as `{input name: array without the sample axis}`, no label."""
        ...

    def labels(self) -> Labels | None:
        """Return all labels, shape (samples, ...), or None where there are none."""
        ...
