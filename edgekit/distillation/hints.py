"""Values within a student that are to be like values within its teacher.

By projection (Romero et al. 2015): the student's channels, in a learnt linear mixture, come near
to the teacher's. By attention (Zagoruyko & Komodakis 2017): the places come near at which the
squares of all channels are large. The channels are axis 1 of images, the last one of all else.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgekit.distillation.answers import HINTS, Taught
from edgekit.errors import ModelError

_IMAGE_RANK = 4
_RIDGE = 1e-3


class Hints:
    """What is matched, and how."""

    def __init__(self, outputs: Mapping[str, Taught]) -> None:
        self._taught = {name: one for name, one in outputs.items() if one.loss in HINTS}
        self.names = tuple(self._taught)

    def projections(
        self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return how the student's channels are mixed at first: with the least squared error.

        Raises:
            ModelError: a value has other places than the teacher's.
        """
        made: dict[str, Tensor] = {}
        for name, taught in self._taught.items():
            own, other = found[name].detach(), wanted[name]
            if taught.loss == "attention":
                if attention(own).shape != other.shape:
                    raise _unlike(name, attention(own), other)
                continue
            own, other = last(own), last(other)
            if own.shape[:-1] != other.shape[:-1]:
                raise _unlike(name, found[name], wanted[name])
            x, y = own.flatten(0, -2).double(), other.flatten(0, -2).double()
            gram = x.T @ x
            gram += _RIDGE * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram))
            made[_key(name)] = torch.linalg.solve(gram, x.T @ y).float().contiguous()
        return made

    def distance(
        self,
        found: Mapping[str, Tensor],
        wanted: Mapping[str, Tensor],
        projections: Mapping[str, Tensor],
    ) -> Tensor | float:
        """Return the mean distance over all that is matched; 0 where nothing is."""
        parts = []
        for name, taught in self._taught.items():
            if taught.loss == "attention":
                parts.append((attention(found[name]) - wanted[name]).square().sum(-1).mean())
            else:
                mixed = last(found[name]) @ projections[_key(name)]
                parts.append((mixed - last(wanted[name])).square().mean() / taught.variance)
        return torch.stack(parts).mean() if parts else 0.0


def attention(value: Tensor) -> Tensor:
    """Return where the squares of all channels are large: a vector of length 1 a sample."""
    return torch.nn.functional.normalize(last(value).square().mean(-1).flatten(1))


def last(value: Tensor) -> Tensor:
    """Return a value with its channels as the last axis."""
    return value.movedim(1, -1) if value.ndim == _IMAGE_RANK else value


def _key(name: str) -> str:
    return f"projection of {name}"


def _unlike(name: str, own: Tensor, other: Tensor) -> ModelError:
    return ModelError(
        "the teacher's value has other places than the student's",
        where=name,
        found="x".join(map(str, other.shape[1:])),
        expected="x".join(map(str, own.shape[1:])) + ", but for the channels",
    )
