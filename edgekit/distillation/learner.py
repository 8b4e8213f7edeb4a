"""The student while it learns: its weights, Adam's moments, and the mean of weights over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgekit.distillation.checkpoint import Arrays
from edgekit.interpreter.network import Network

_LONGEST_GRADIENT = 1.0
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Learner:
    """A network some of whose weights are trained, by Adam (Kingma & Ba 2015).

    Attributes:
        weights: those, by name.
        mean: exponential mean of each over the steps, which is what is judged and kept.
    """

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        for name, value in network.parameters.items():
            value.requires_grad_(name in names)
        self.network = network
        self.weights = {name: network.parameters[name] for name in names}
        self.mean = {name: value.detach().clone() for name, value in self.weights.items()}
        self._start = {name: value.detach().clone() for name, value in self.weights.items()}
        self.begin()

    def begin(self) -> None:
        """Go back to the start: weights, and all that training remembers."""
        with torch.no_grad():
            for name, value in self._start.items():
                self.weights[name].copy_(value)
                self.mean[name].copy_(value)
        values = list(self.weights.values())
        self._optimizer = torch.optim.Adam(values, fused=True)
        for value in values:
            self._optimizer.state[value] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(value),
                "exp_avg_sq": torch.zeros_like(value),
            }

    def run(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Return answers of the weights that are being trained."""
        return self.network.run(feeds, outputs)

    def judged(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Return answers of the mean weights."""
        with torch.no_grad():
            return self.network.run({**feeds, **self.mean}, outputs)

    def follow(self, rate: float, decay: float) -> None:
        """Take one step down the gradients that are there, and forget them.

        Args:
            rate: learning rate.
            decay: share of the mean that stays.
        """
        values = list(self.weights.values())
        for value in values:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        torch.nn.utils.clip_grad_norm_(values, _LONGEST_GRADIENT)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for name, value in self.weights.items():
                self.mean[name].lerp_(value, 1 - decay)

    def state(self) -> Arrays:
        """Return all that training remembers."""
        return {key: tensor.detach().numpy() for key, tensor in self._remembered()}

    def restore(self, state: Arrays) -> None:
        """Go on from what `state` returned."""
        with torch.no_grad():
            for key, tensor in self._remembered():
                tensor.copy_(torch.from_numpy(state[key]))

    def _remembered(self) -> list[tuple[str, Tensor]]:
        found = []
        for name, value in self.weights.items():
            kept = self._optimizer.state[value]
            found += [(f"{kind}/{name}", kept[kind]) for kind in _MOMENTS]
            found += [(f"weight/{name}", value), (f"mean/{name}", self.mean[name])]
        return found
