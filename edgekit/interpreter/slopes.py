"""How the answers of a network change with masks on what its nodes read, one sample at a time.

A mask is one number for each sample and position of an axis, all ones. For a random vector r of
+-1, the square of d(r'y)/dm has sum_k (dy_k/dm)^2 as its expectation: one backward pass tells of
all answers y (Hutchinson 1989).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgekit.dataset import Dataset
from edgekit.interpreter.network import Network
from edgekit.layerwise.batches import Batch, batches

Array = npt.NDArray[np.float64]
Read = tuple[str, str, int]
"""A node, a value that it reads, and the axis of that which is masked. A recurrent node's state is
named by its first output."""

_SCALED_ON = 64
_SEED = 20190619
_ROUNDING = 1e-3
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """At most `count` samples of the data, evenly spread, `size` at a time."""

    data: Dataset
    count: int
    size: int


def slopes(
    network: Network,
    reads: Sequence[Read],
    outputs: Sequence[str],
    samples: Samples,
) -> Iterator[dict[Read, Array]]:
    """Yield d(r'y)/dm of some samples, shape (samples, positions); the same ones each time.

    Args:
        network: its parameters stay as they are.
        reads: where masks are laid.
        outputs: the answers y: float values, each scaled to a variance of 1 over all its elements;
            probabilities count as centred logarithms.
        samples: what goes through the network.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    answers = _Answers(network, outputs, samples)
    known: dict[tuple[tuple[int, ...], ...], _Shapes] = {}
    for batch in batches(samples.data, samples.count, samples.size):
        first, *_ = _one_by_one(batch)
        key = tuple(value.shape for value in first.feeds.values())
        if key not in known:
            known[key] = _shapes(network, reads, first)
        try:
            yield _of(network, reads, known[key], answers, batch)
        except _NotApartError:
            for single in _one_by_one(batch):
                yield _of(network, reads, known[key], answers, single)


class _NotApartError(Exception):
    """The samples of a batch do not lie on an axis of their own."""


_Shapes = Mapping[str, tuple[int, ...]]
"""Of each value that is read, for one sample."""


def _shapes(network: Network, reads: Sequence[Read], single: Batch) -> _Shapes:
    names = list(dict.fromkeys(name for _, name, _ in reads))
    with torch.no_grad():
        return {name: tuple(x.shape) for name, x in network.run(single.feeds, names).items()}


def _of(
    network: Network,
    reads: Sequence[Read],
    shapes: _Shapes,
    answers: _Answers,
    batch: Batch,
) -> dict[Read, Array]:
    masks = _Masks(shapes, batch.size)
    loss = answers.projected(network, batch, masks.taps(reads))
    return masks.slopes(loss)


def _one_by_one(batch: Batch) -> Iterator[Batch]:
    for index in range(batch.size):
        feeds = {name: value[index : index + 1] for name, value in batch.feeds.items()}
        yield Batch(number=batch.number, held_out=batch.held_out, feeds=feeds, size=1)


class _Masks:
    """The masks of one batch: made where they are laid, for only there all lengths are known."""

    def __init__(self, shapes: _Shapes, size: int) -> None:
        self._shapes = shapes
        self._size = size
        self._masks: dict[Read, Tensor] = {}

    def taps(self, reads: Sequence[Read]) -> dict[tuple[str, str], Callable[[Tensor], Tensor]]:
        """Return what lays the masks, as `Network.run` takes it."""
        axes: dict[tuple[str, str], list[int]] = {}
        for node, name, axis in dict.fromkeys(reads):
            axes.setdefault((node, name), []).append(axis)
        return {key: self._tap(key, several) for key, several in axes.items()}

    def slopes(self, loss: Tensor) -> dict[Read, Array]:
        """Return d loss / d mask, shape (samples, positions); zeros where it does not depend."""
        reads = list(self._masks)
        if not loss.requires_grad or not reads:
            return {read: np.zeros(self._masks[read].shape) for read in reads}
        found = torch.autograd.grad(loss, [self._masks[read] for read in reads], allow_unused=True)
        return {
            read: np.zeros(self._masks[read].shape) if one is None else one.double().numpy()
            for read, one in zip(reads, found, strict=True)
        }

    def _tap(self, key: tuple[str, str], axes: list[int]) -> Callable[[Tensor], Tensor]:
        def masked(x: Tensor) -> Tensor:
            for axis in axes:
                x = x * self._mask((*key, axis), x)
            return x

        return masked

    def _mask(self, read: Read, x: Tensor) -> Tensor:
        """Return the mask in a shape that broadcasts; the same one at all steps of a sequence."""
        shape, axis = self._shapes[read[1]], read[2]
        if x.ndim == len(shape):
            samples = _samples_axis(x, shape, axis, self._size)
        else:
            samples, axis = 0, x.ndim - 1
        if read not in self._masks:
            self._masks[read] = x.new_ones(self._size, x.shape[axis]).requires_grad_()
        mask = self._masks[read]
        if self._size > 1:
            mask = mask.repeat_interleave(x.shape[samples] // self._size, 0)
        lengths = [size if i in {axis, samples} else 1 for i, size in enumerate(x.shape)]
        if self._size == 1:
            lengths = [size if i == axis else 1 for i, size in enumerate(x.shape)]
        return (mask if samples < axis else mask.T).reshape(lengths)


def _samples_axis(x: Tensor, shape: tuple[int, ...], axis: int, size: int) -> int:
    """Return the axis that the samples of a batch lie on.

    Raises:
        _NotApartError: there is none, or it is the one that is masked.
    """
    if size == 1:
        return axis - 1
    longer = [i for i, (now, one) in enumerate(zip(x.shape, shape, strict=True)) if now != one]
    if len(longer) != 1 or longer[0] == axis or x.shape[longer[0]] != size * shape[longer[0]]:
        raise _NotApartError
    return longer[0]


class _Answers:
    """The outputs as one number a sample, and how each is scaled."""

    def __init__(self, network: Network, outputs: Sequence[str], samples: Samples) -> None:
        known: dict[str, list[Tensor]] = {name: [] for name in outputs}
        with torch.no_grad():
            for batch in batches(samples.data, _SCALED_ON, samples.size):
                for name, value in network.run(batch.feeds, outputs).items():
                    known[name].append(value)
        self._classes = {name for name, values in known.items() if all(map(_shares, values))}
        self._scale: dict[str, float] = {}
        for name, values in known.items():
            seen = torch.cat([self._scores(name, value).double().reshape(-1) for value in values])
            spread = float(seen.std(correction=0)) if seen.numel() else 0.0
            each = seen.numel() / max(min(_SCALED_ON, samples.count, len(samples.data)), 1)
            self._scale[name] = 1 / (spread * each**0.5) if spread > 0 else 0.0

    def projected(
        self,
        network: Network,
        batch: Batch,
        taps: Mapping[tuple[str, str], Callable[[Tensor], Tensor]],
    ) -> Tensor:
        """Return the sum over samples of r'y, signs of its own for each."""
        generator = np.random.default_rng((_SEED, batch.number))
        loss = torch.zeros(())
        for name, value in network.run(batch.feeds, list(self._scale), taps).items():
            scores = self._scores(name, value) * self._scale[name]
            signs = generator.integers(0, 2, tuple(scores.shape)) * 2 - 1
            loss = loss + (scores * torch.from_numpy(signs).to(scores.dtype)).sum()
        return loss

    def _scores(self, name: str, value: Tensor) -> Tensor:
        """Return class scores; probabilities become centred logarithms, as before their Softmax."""
        if name not in self._classes:
            return value
        scores = value.clamp(min=_SMALLEST_PROBABILITY).log()
        return scores - scores.mean(-1, True)


def _shares(value: Tensor) -> bool:
    """Say whether the last axis is probabilities."""
    if value.ndim <= 1 or value.shape[-1] <= 1 or not value.numel():
        return False
    return bool(value.min() >= 0 and ((value.sum(-1) - 1).abs() < _ROUNDING).all())
