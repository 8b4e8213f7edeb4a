"""Images seen anew: mirrored, and shifted, the same way whenever the same view is asked for.

A view is a number; view 0 is the image as it is. Where images may be mirrored, view 1 is the mirror
image; all further views are shifted, and half of their images mirrored, too. What a view does to a
sample depends on the seed and on the sample's place in the data alone, so a teacher can be asked
about it beforehand, once, and training can go on from anywhere.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.distillation.packing import Packed

Array = npt.NDArray[Any]

_CHANNELS = (1, 3, 4)
_LEAST = 16
_IMAGE_RANK = 4
_SHIFT = 1 / 12
"""Of the image's height and width, at most: 2 of 28 pixels, 18 of 224."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """How samples may be seen.

    Attributes:
        image: the input that is an image; None when nothing is.
        rows, columns: its axes.
        count: views a sample has, the plain one among them.
        mirrored: some of them are mirrored, left to right.
        samples: in all the data.
    """

    image: str | None = None
    rows: int = 2
    columns: int = 3
    count: int = 1
    mirrored: bool = False
    samples: int = 0
    seed: int = 0

    def seen(self, name: str, values: Array, numbers: Array, views: Array) -> Array:
        """Return samples of an input as they are seen.

        Args:
            name: of the input.
            values: shape (samples, ...).
            numbers: place of each in the data.
            views: of each.
        """
        if name != self.image or not views.any():
            return values
        height, width = values.shape[self.rows], values.shape[self.columns]
        down, right, flipped = (np.zeros(len(values), np.int64) for _ in range(3))
        for view in np.unique(views[views > 0]):
            of = views == view
            if view < self.first_shifted:
                flipped[of] = 1
                continue
            drawn = _drawn(self.seed, int(view), self.samples)
            down[of] = _steps(drawn[0, numbers[of]], height)
            right[of] = _steps(drawn[1, numbers[of]], width)
            flipped[of] = drawn[2, numbers[of]] < 0.5  # noqa: PLR2004  # one half
        rows = (np.arange(height) + down[:, None]).clip(0, height - 1)
        columns = (np.arange(width) + right[:, None]).clip(0, width - 1)
        if self.mirrored:
            columns = np.where(flipped[:, None] == 1, columns[:, ::-1], columns)
        values = np.take_along_axis(values, _spread(rows, self.rows, values.ndim), self.rows)
        return np.take_along_axis(values, _spread(columns, self.columns, values.ndim), self.columns)

    @property
    def first_shifted(self) -> int:
        """The first view that moves what is in the image."""
        return 2 if self.mirrored else 1

    def mirror(self, values: Array) -> Array:
        """Return images left to right."""
        return np.flip(values, self.columns)

    def with_mirrored(self, mirrored: bool) -> Views:  # noqa: FBT001  # its only argument
        """Return the same views, some of them mirrored or none."""
        return replace(self, mirrored=mirrored)


def views_of(packed: Packed, samples: int, count: int, seed: int) -> Views:
    """Return the views of images; one plain view of all else.

    An image is an input alone, of rank 4, with 1, 3 or 4 channels before or behind two axes of 16
    or more, floats or bytes.
    """
    inputs = packed.buckets[0].inputs
    if len(inputs) != 1 or count <= 1:
        return Views(samples=samples, seed=seed)
    [(name, stored)] = inputs.items()
    if len(stored.shape) != _IMAGE_RANK or np.dtype(stored.dtype).kind not in "fu":
        return Views(samples=samples, seed=seed)
    for channels, rows, columns in ((1, 2, 3), (3, 1, 2)):
        if (
            stored.shape[channels] in _CHANNELS
            and min(stored.shape[rows], stored.shape[columns]) >= _LEAST
        ):
            return Views(
                image=name, rows=rows, columns=columns, count=count, samples=samples, seed=seed
            )
    return Views(samples=samples, seed=seed)


@functools.lru_cache(maxsize=16)
def _drawn(seed: int, view: int, samples: int) -> Array:
    """Return numbers from 0 to 1, shape (3, samples of all the data)."""
    drawn: Array = np.random.default_rng((seed, view)).random((3, samples))
    return drawn


def _steps(drawn: Array, size: int) -> Array:
    """Return shifts of -reach to reach, all equally likely."""
    reach = max(int(size * _SHIFT), 1)
    steps: Array = np.floor(drawn * (2 * reach + 1)).astype(np.int64) - reach
    return steps


def _spread(places: Array, axis: int, rank: int) -> Array:
    """Return (samples, positions) so that it broadcasts along an axis."""
    shape = [1] * rank
    shape[0], shape[axis] = places.shape
    return places.reshape(shape)
