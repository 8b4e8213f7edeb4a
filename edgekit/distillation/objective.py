"""What a student is to make least: the distance of its answers from the teachers'."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgekit.distillation.answers import HINTS, Taught
from edgekit.distillation.recipe import Recipe

_SMALLEST_PROBABILITY = 1e-7


class Objective:
    """The distance over all outputs, each by its weight."""

    def __init__(self, outputs: Mapping[str, Taught], recipe: Recipe) -> None:
        self._outputs = {name: one for name, one in outputs.items() if one.loss not in HINTS}
        self._recipe = recipe

    def distance(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        """Return one number: 1 is about what a constant answer costs, by squared difference.

        Sources: Hinton et al. 2015, section 2 (softened classes); Kim et al. 2021, "Comparing
        Kullback-Leibler divergence and mean squared error loss in knowledge distillation".
        """
        parts = []
        for name, taught in self._outputs.items():
            weight = self._recipe.output_weights.get(name, 1.0)
            own = scores(found[name], taught)
            if taught.loss == "kl":
                part = _divergence(own, wanted[name], self._recipe.temperature)
            else:
                part = (own - wanted[name]).square().mean() / taught.variance
            parts.append(weight * part)
        return torch.stack(parts).sum()

    def with_labels(
        self, distance: Tensor, found: Mapping[str, Tensor], labels: Tensor | None
    ) -> Tensor:
        """Return the distance mixed with that from the labels."""
        share = self._recipe.labels
        if labels is None or not share:
            return distance
        name, taught = next((n, t) for n, t in self._outputs.items() if t.kind != "values")
        own = scores(found[name], taught)
        return (1 - share) * distance + share * torch.nn.functional.cross_entropy(own, labels)

    def alike(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int | None:
        """Return how many samples have the teachers' class; None where there are no classes."""
        for name, taught in self._outputs.items():
            if taught.kind != "values":
                same = found[name].argmax(-1) == wanted[name].argmax(-1)
                return int(same.reshape(len(same), -1).all(-1).sum())
        return None


def scores(found: Tensor, taught: Taught) -> Tensor:
    """Return an answer as teachers' answers are kept: probabilities as logarithms."""
    if taught.kind != "probabilities":
        return found
    return found.clamp(min=_SMALLEST_PROBABILITY).log()


def _divergence(found: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    own = (found / temperature).log_softmax(-1)
    other = (wanted / temperature).log_softmax(-1)
    each = (other.exp() * (other - own)).sum(-1)
    return each.mean() * temperature**2
