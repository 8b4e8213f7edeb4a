"""Samples in batches, for work where only sums over many samples matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Dataset, Sample, spread

HELD_OUT_EVERY = 5
_LARGEST = 64
_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples that go through the model at once.

    Attributes:
        number: from 0, in the order of the data.
        held_out: none of these samples may be fitted to.
        feeds: by input, batch axis first.
        size: how many samples.
    """

    number: int
    held_out: bool
    feeds: dict[str, npt.NDArray[Any]]
    size: int


def batches(data: Dataset, samples: int, size: int) -> Iterator[Batch]:
    """Yield at most `samples` samples, evenly spread over the data, in batches of equal shapes.

    Every fifth sample is held out; a batch holds either such samples or others.

    Args:
        data: read once.
        samples: at most so many; the same ones each time.
        size: largest number of samples in a batch.
    """
    number = 0
    waiting: tuple[list[Sample], list[Sample]] = ([], [])
    for index, sample in enumerate(spread(data, samples).samples()):
        held_out = index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        group = waiting[held_out]
        if group and (len(group) == size or not _alike(group[0], sample)):
            yield _batch(number, group, held_out=held_out)
            number += 1
            group.clear()
        group.append(sample)
    for held_out, group in zip((False, True), waiting, strict=True):
        if group:
            yield _batch(number, group, held_out=held_out)
            number += 1


def batch_size(session: Any, outputs: Sequence[str], data: Dataset) -> int:
    """Return how many samples may go through a model at once: 1 where they would not be apart.

    Args:
        session: onnxruntime's; every graph output counts as memory.
        outputs: names of those that must come out of a batch as they do of its samples; their
            first axis is the samples'.
        data: two samples of it are tried.
    """
    pair = list(spread(data, 2).samples())
    names = [value.name for value in session.get_outputs()]
    single = [session.run(None, _batch(0, [sample], held_out=False).feeds) for sample in pair]
    size = sum(value.nbytes for value in single[0] if isinstance(value, np.ndarray))
    largest = min(_LARGEST, _MEMORY_BYTES // max(size, 1))
    if largest < 2 or len(pair) < 2 or not _alike(*pair):  # noqa: PLR2004  # a pair
        return 1
    try:
        both = session.run(None, _batch(0, pair, held_out=False).feeds)
    except Exception:  # noqa: BLE001  # onnxruntime has a class of exception per status
        return 1
    for name, value, first, second in zip(names, both, *single, strict=True):
        if name in outputs and not _apart(value, first, second):
            return 1
    return int(largest)


def _apart(both: Any, first: Any, second: Any) -> bool:
    if not all(isinstance(value, np.ndarray) and value.ndim for value in (both, first, second)):
        return False
    alone = np.concatenate([first, second])
    if both.shape != alone.shape:
        return False
    scale = np.abs(alone).max(initial=0.0)
    return bool(np.abs(both.astype(np.float64) - alone).max(initial=0.0) <= 1e-3 * scale)


def _alike(one: Sample, other: Sample) -> bool:
    return all(value.shape == other[name].shape for name, value in one.items())


def _batch(number: int, group: list[Sample], *, held_out: bool) -> Batch:
    feeds = {name: np.stack([sample[name] for sample in group]) for name in group[0]}
    return Batch(number=number, held_out=held_out, feeds=feeds, size=len(group))
