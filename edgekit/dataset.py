"""Data for calibrating and judging, streamed sample by sample and never loaded whole.

Four kinds, chosen by what the user names: an `.npz` (one array per model input, first axis =
sample, optional `label`), a folder of such shards, a folder of images (`class/xxx.png`), or
`module:callable` that yields dicts. A dataset holds paths only, so it can be sent to the child
process that runs the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

LABEL = "label"
Sample = dict[str, npt.NDArray[np.generic]]


@runtime_checkable
class Dataset(Protocol):
    """Samples for a model, in a fixed order; picklable.

    Attributes:
        source: for messages: the path or callable as the user named it.
    """

    source: str

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Yield each sample as `{input name: array without the sample axis}`, no label."""
        ...

    def labels(self) -> npt.NDArray[np.generic] | None:
        """Return all labels, shape (samples, ...), or None where there are none."""
        ...
