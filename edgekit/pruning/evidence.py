"""What a criterion may ask: the weights, second moments of what is read, gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekit.dataset import Dataset
from edgekit.layerwise.layers import Layer, layers_of
from edgekit.pruning.coupling import FIXED, ChannelGroup, Contraction, Coupling, Ids
from edgekit.pruning.gradients import Masked, Slopes, squared_slopes
from edgekit.pruning.gram import Gram, grams
from edgekit.pruning.moments import Moments, Place, mean_squares

Array = npt.NDArray[Any]
Need = Literal["weights", "moments", "grams", "gradients"]
"""What a criterion looks at. Moments come with Gram matrices; gradients are measured alone."""

LARGEST_COLUMNS = 6144
"""A Gram matrix of more columns would take over 300 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An affine map that reads channels of a group, in the form of `ridge.solve`.

    Attributes:
        channels: for each column the place of its channel in the group, `FIXED` for all others.
        weight: float64, shape (outputs, columns).
        gram: float64, shape (columns + 1, columns + 1), of one position; the last row is ones.
    """

    channels: Ids
    weight: npt.NDArray[np.float64]
    gram: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about a model's channels.

    Attributes:
        coupling: of the model.
        read_by: by group name, the places where its channels are summed over.
        inputs: by node, the names of what it reads.
        layers: by node, every affine map in the graph.
        moments: E[x^2] along the axes that are summed over.
        grams: by node, second moments of what it reads.
        gradients: by group name, the mean square of d answers / d mask, one a channel.
    """

    coupling: Coupling
    read_by: Mapping[str, tuple[Contraction, ...]]
    inputs: Mapping[str, tuple[str, ...]]
    layers: Mapping[str, Layer]
    moments: Mapping[Place, Moments] = field(default_factory=dict)
    grams: Mapping[str, Gram] = field(default_factory=dict)
    gradients: Mapping[str, Slopes] = field(default_factory=dict)

    def weight(self, name: str) -> Array:
        """Return an initializer."""
        value = self.coupling.model.ir.graph.initializers[name]
        if value.const_value is None:
            raise KeyError(name)
        return value.const_value.numpy()

    def contractions(self, group: ChannelGroup) -> tuple[Contraction, ...]:
        """Return the places where the group's channels are summed over."""
        return self.read_by.get(group.name, ())

    def partner(self, contraction: Contraction) -> Place | None:
        """Return the operand that the data is multiplied with, where that is an activation."""
        if contraction.weight is not None:
            return None
        ids = self.coupling.on(*contraction.data)
        if ids is None:
            return None
        for name in self.inputs[contraction.node]:
            for axis in range(len(self.coupling.axes.get(name, ()))):
                other = self.coupling.on(name, axis)
                apart = (name, axis) != contraction.data
                if apart and other is not None and np.array_equal(other, ids):
                    return name, axis
        return None

    def places(self, group: ChannelGroup, ids: Ids) -> Ids:
        """Return for each channel number its place in the group; `FIXED` for all others."""
        place = np.full(self.coupling.count + 1, FIXED)
        place[group.channels] = np.arange(len(group.channels))
        found: Ids = place[ids]
        return found

    def filters(self, group: ChannelGroup) -> Iterator[tuple[Ids, Array]]:
        """Yield of each weight that makes the channels (place in the group, rows).

        The rows are shape (positions, elements): all that makes one position of the axis.
        """
        for name, axis in group.producers:
            ids = self.coupling.on(name, axis)
            if ids is not None:
                rows = np.moveaxis(self.weight(name), axis, 0)
                yield self.places(group, ids), rows.reshape(len(rows), -1).astype(np.float64)

    def readings(self, group: ChannelGroup, contraction: Contraction) -> list[Reading]:
        """Return the affine maps of one contraction, one a group of a grouped convolution.

        Empty where it is none or its Gram matrix was not measured.
        """
        layer, gram = self.layers.get(contraction.node), self.grams.get(contraction.node)
        if layer is None or gram is None or contraction.weight is None:
            return []
        ids = self.coupling.on(*contraction.weight)
        if ids is None:
            return []
        weight = layer.matrix(self.weight(layer.weight)).astype(np.float64)
        channels = np.repeat(self.places(group, ids), weight.shape[1] // len(ids))
        matrices = gram.matrix.reshape(layer.groups, weight.shape[1] + 1, -1)
        weights = weight.reshape(layer.groups, -1, weight.shape[1])
        return [
            Reading(channels=channels, weight=part, gram=matrix / max(gram.count, 1))
            for part, matrix in zip(weights, matrices, strict=True)
        ]


def gather(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    need: Need,
    data: Dataset | None,
    workspace: Path,
) -> Evidence:
    """Return what a criterion that needs so much may ask about these groups.

    Args:
        coupling: of the model that runs.
        groups: that will be asked about.
        need: how much is measured.
        data: calibration samples; may be None where only weights are needed.
        workspace: for temporary files.

    Raises:
        ModelError: the model does not run on the data.
    """
    evidence = weights_of(coupling)
    if need == "weights" or data is None:
        return evidence
    if need == "gradients":
        masked = [_masked(evidence, group) for group in groups]
        macs = sum(product.macs for product in coupling.products)
        slopes = squared_slopes(coupling.model, masked, data, workspace, macs=macs)
        return replace(evidence, gradients=slopes)
    found = [one for group in groups for one in evidence.contractions(group)]
    places = [contraction.data for contraction in found]
    places += [place for one in found if (place := evidence.partner(one)) is not None]
    nodes = dict.fromkeys(one.node for one in found if gram_bytes(evidence, one.node) > 0)
    model = coupling.model
    return replace(
        evidence,
        moments=mean_squares(model, list(dict.fromkeys(places)), data, workspace),
        grams=grams(model, list(nodes), data, workspace) if need == "grams" else {},
    )


def weights_of(coupling: Coupling) -> Evidence:
    """Return what can be known without data."""
    graph = coupling.model.ir.graph
    return Evidence(
        coupling=coupling,
        read_by=_readers(coupling),
        inputs={
            node.name or "": tuple(value.name or "" for value in node.inputs if value is not None)
            for node in graph
        },
        layers={layer.node: layer for layer in layers_of(graph)},
    )


def _masked(evidence: Evidence, group: ChannelGroup) -> Masked:
    reads = []
    for one in evidence.contractions(group):
        ids = evidence.coupling.on(*one.data)
        if ids is not None:
            reads.append((one, evidence.places(group, ids)))
    return Masked(name=group.name, channels=len(group.channels), reads=tuple(reads))


def gram_bytes(evidence: Evidence, node: str) -> int:
    """Return the memory that the Gram matrices of what a node reads take; 0 where none is made.

    None is made of more than `LARGEST_COLUMNS` columns.
    """
    layer = evidence.layers.get(node)
    if layer is None:
        return 0
    columns = layer.columns
    return 8 * layer.groups * (columns + 1) ** 2 if columns <= LARGEST_COLUMNS else 0


def _readers(coupling: Coupling) -> dict[str, tuple[Contraction, ...]]:
    group_of = np.full(coupling.count, FIXED)
    for number, group in enumerate(coupling.groups):
        group_of[group.channels] = number
    found: dict[str, list[Contraction]] = {}
    for contraction in coupling.contractions:
        ids = coupling.on(*contraction.data)
        owners = [] if ids is None else np.unique(group_of[ids[ids != FIXED]]).tolist()
        for owner in owners:
            if owner != FIXED:
                found.setdefault(coupling.groups[owner].name, []).append(contraction)
    return {name: tuple(several) for name, several in found.items()}
