"""What an architecture of the zoo is, and how its random weights are made lively."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_NORMAL_STD = 0.2
_LOW, _HIGH = 0.6, 1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a model, without its batch axis; `below` is the bound of integers."""

    name: str
    shape: tuple[int, ...]
    below: int | None = None

    def example(self, batch: int) -> Tensor:
        """Return random values: N(0, 1), or integers from 1."""
        shape = (batch, *self.shape)
        if self.below is None:
            return torch.randn(shape)
        return torch.randint(1, self.below, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An architecture: its builder returns a module that maps tensors to tensors."""

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[Input, ...]


def lively(module: nn.Module) -> nn.Module:
    """Draw all weights anew, in place, so that every part of the model shows in its outputs.

    Matrices and kernels keep the variance of what passes; scales of norms and of layers lie
    around 1, biases and running means around 0: equal outputs then mean equal weights.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                fan_in = parameter[0].numel() if parameter.shape[0] > 1 else 4
                parameter.normal_(0, fan_in**-0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, _NORMAL_STD)
            else:
                parameter.uniform_(_LOW, _HIGH)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, _NORMAL_STD)
            elif name.endswith("running_var"):
                buffer.uniform_(_LOW, _HIGH)
    return module.eval()


class Tensors(nn.Module):
    """A model of `transformers` as tensors to tensors: named inputs, chosen outputs."""

    def __init__(self, model: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = inputs
        self.outputs = outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the chosen outputs."""
        found = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(getattr(found, name) for name in self.outputs)
