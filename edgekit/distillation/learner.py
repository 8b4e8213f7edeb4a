"""The student while it learns: its weights, Adam's moments, and the mean of weights over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.distillation.checkpoint import Arrays
from edgekit.distillation.latent import Latent
from edgekit.distillation.team import Team
from edgekit.interpreter.network import Network

_LONGEST_GRADIENT = 1.0
_KERNEL_RANK = 4
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """A network that normalizes by the samples at hand.

    Attributes:
        moved: by initializer that holds statistics: the value that they have moved to.
    """

    network: Network
    moved: Mapping[str, str]


class Learner:
    """A network some of whose weights are trained, by Adam (Kingma & Ba 2015).

    Attributes:
        weights: those, by name.
        mean: exponential mean of each over the steps, which is what is judged and kept; of moving
            statistics, too.
    """

    def __init__(
        self,
        network: Network,
        names: Sequence[str],
        latents: Sequence[Latent] = (),
        moving: Moving | None = None,
    ) -> None:
        """Begin.

        Args:
            network: as it is judged.
            names: float initializers that are trained.
            latents: integer ones that are.
            moving: the network as it learns, where its statistics move.
        """
        self._moving = moving
        judged, network = network, network if moving is None else moving.network
        for name, value in network.parameters.items():
            value.requires_grad_(name in names)
            value.data = _channels_last(value.data)
        self.network, self._judged = network, judged
        self._statistics = (
            {name: network.parameters[name] for name in moving.moved} if moving else {}
        )
        self._moved: dict[str, Tensor] = {}
        self.weights = {name: network.parameters[name] for name in names}
        self._grids = {one.name: _Grid(one) for one in latents}
        self.weights |= {name: grid.start() for name, grid in self._grids.items()}
        self._aids: tuple[str, ...] = ()
        self._from_here()

    def aided_by(self, aids: Mapping[str, Tensor]) -> None:
        """Train more weights, which are of use while learning alone."""
        self._aids = tuple(aids)
        self.weights |= {name: value.clone().requires_grad_() for name, value in aids.items()}
        self._from_here()

    def _from_here(self) -> None:
        """Take what there is for the start."""
        self._all = {**self.weights, **self._statistics}
        self.mean = {name: value.detach().clone() for name, value in self._all.items()}
        self._start = {name: value.detach().clone() for name, value in self._all.items()}
        self.begin()

    def begin(self) -> None:
        """Go back to the start: weights, and all that training remembers."""
        with torch.no_grad():
            for name, value in self._start.items():
                self._all[name].copy_(value)
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
        moved = self._moving.moved if self._moving else {}
        found = self.network.run(
            {**feeds, **self._rounded(self.weights)}, [*outputs, *moved.values()]
        )
        self._moved = {name: found.pop(made).detach() for name, made in moved.items()}
        return found

    def judged(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Return answers of the mean weights."""
        with torch.no_grad():
            apart = {*self._grids, *self._aids}
            floats = {name: value for name, value in self.mean.items() if name not in apart}
            return self._judged.run({**feeds, **floats, **self._rounded(self.mean)}, outputs)

    def follow(self, rate: float, decay: float, team: Team) -> None:
        """Take one step down the gradients that are there, and forget them.

        Args:
            rate: learning rate.
            decay: share of the mean that stays.
            team: whose mean gradient it is.
        """
        values = list(self.weights.values())
        for value in values:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        team.average([value.grad for value in values])
        team.average(list(self._moved.values()))
        torch.nn.utils.clip_grad_norm_(values, _LONGEST_GRADIENT)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for name, value in self._moved.items():
                self._statistics[name].copy_(value)
            for name, value in self._all.items():
                self.mean[name].lerp_(value, 1 - decay)

    def kept(self) -> Arrays:
        """Return the mean weights as they go into the graph."""
        with torch.no_grad():
            return {
                name: value.numpy().copy()
                if name not in self._grids
                else self._grids[name].rounded(value).to(torch.int32).numpy()
                for name, value in self.mean.items()
                if name not in self._aids
            }

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
        for name, value in self._all.items():
            found += [(f"weight/{name}", value), (f"mean/{name}", self.mean[name])]
        return found

    def _rounded(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the integers of latent weights, under the names that they are read by."""
        return {grid.read: grid.rounded(weights[name]) for name, grid in self._grids.items()}


class _Grid:
    """Where the integers of a latent weight lie."""

    def __init__(self, latent: Latent) -> None:
        self.read = latent.read
        self._integers = torch.from_numpy(latent.integers).float()
        self._scale = torch.from_numpy(latent.scale)
        self._point = torch.from_numpy(latent.point)
        self._ends = latent.low, latent.high

    def start(self) -> Tensor:
        """Return the real numbers that the integers stand for."""
        return _channels_last((self._integers - self._point) * self._scale).requires_grad_()

    def rounded(self, weight: Tensor) -> Tensor:
        """Return integers, as floats; the gradient passes straight through inside the range."""
        real = weight / self._scale
        whole = torch.round(real).detach() + (real - real.detach())
        return (whole + self._point).clamp(*self._ends)


def _channels_last(weight: Tensor) -> Tensor:
    """Return a kernel whose channels are next to each other in memory: it makes training faster.

    What goes through a convolution comes out in the order of its kernel.
    """
    if weight.dim() != _KERNEL_RANK:
        return weight
    return weight.contiguous(memory_format=torch.channels_last)
