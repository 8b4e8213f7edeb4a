"""What the readers of a group become when some of its channels go: a closed form.

All of it is known from second moments of the dense model: the readers are refitted to give what
they gave before, from the columns that stay. The graph keeps its shapes; only weights change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.pruning.coupling import FIXED, ChannelGroup, Contraction, Keep, positions_kept
from edgekit.pruning.evidence import Array, Evidence
from edgekit.pruning.ridge import joined, solve


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What makes the whole graph answer as if channels were gone and their readers refitted.

    Attributes:
        starts: nodes from which on values differ.
        weights: new values of initializers.
        masks: (node, value that it reads, factor) where a reader cannot be refitted.
    """

    starts: tuple[str, ...]
    weights: Mapping[str, Array]
    masks: tuple[tuple[str, str, Array], ...]


def refitted(group: ChannelGroup, keep: Keep, evidence: Evidence) -> Change:
    """Return what becomes of a group's readers: zeros for what goes, refitted for what stays.

    A reader is refitted where it is an affine map with weights of its own and known moments. Any
    other, such as a product of two activations, reads zeros for what went.

    Args:
        group: whose channels go.
        keep: which channels stay; those of other groups all do.
        evidence: with Gram matrices.
    """
    weights: dict[str, Array] = {}
    masks: list[tuple[str, str, Array]] = []
    found = evidence.contractions(group)
    for contraction in found:
        (value, axis), weight = contraction.data, contraction.weight
        if _own(contraction, evidence):
            weights |= _refitted(group, contraction, keep, evidence)
        elif value in evidence.inputs[contraction.node]:
            rank = len(evidence.coupling.shapes[value])
            masks.append((contraction.node, value, _mask(evidence, value, axis, rank, keep)))
        elif weight is not None:
            stored = weights.get(weight[0], evidence.weight(weight[0]))
            weights[weight[0]] = stored * _mask(evidence, *weight, stored.ndim, keep)
    starts = tuple(dict.fromkeys(one.node for one in found))
    return Change(starts=starts, weights=weights, masks=tuple(masks))


def _refitted(
    group: ChannelGroup, contraction: Contraction, keep: Keep, evidence: Evidence
) -> dict[str, Array]:
    layer = evidence.layers[contraction.node]
    stored = evidence.weight(layer.weight)
    bias = None if layer.bias is None else evidence.weight(layer.bias)
    stays = keep[group.channels]
    parts: list[npt.NDArray[np.float64]] = []
    shifts: list[npt.NDArray[np.float64]] = []
    for reading in evidence.readings(group, contraction):
        columns = (reading.channels == FIXED) | stays[reading.channels]
        rows = slice(len(parts) * len(reading.weight), (len(parts) + 1) * len(reading.weight))
        old = np.zeros(len(reading.weight)) if bias is None else bias.reshape(-1)[rows]
        part, shift = _solved(reading.gram, reading.weight, old, columns, shifts=bias is not None)
        parts.append(part)
        shifts.append(shift)
    new = {layer.weight: layer.stored(np.concatenate(parts), stored)}
    if layer.bias is not None and bias is not None:
        new[layer.bias] = np.concatenate(shifts).reshape(bias.shape).astype(bias.dtype)
    return new


def _mask(evidence: Evidence, name: str, axis: int, rank: int, keep: Keep) -> Array:
    """Return ones for what stays on an axis and zeros for what goes, to be multiplied with."""
    ids = evidence.coupling.on(name, axis)
    if ids is None:
        return np.ones((1,) * rank, np.float32)
    ones = positions_kept(ids, keep).astype(np.float32)
    return ones.reshape([-1 if place == axis else 1 for place in range(rank)])


def _solved(
    gram: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    columns: npt.NDArray[np.bool_],
    *,
    shifts: bool,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return full-size weights and the bias; without `shifts` the bias stays 0."""
    kept = np.append(columns, True)
    cross = joined(weight, bias) @ gram[:, kept]
    inner = gram[np.ix_(kept, kept)]
    if not shifts:
        inner[-1, :-1] = inner[:-1, -1] = cross[:, -1] = 0.0
    found, shift = solve(inner, cross, weight[:, columns], bias)
    full = np.zeros_like(weight)
    full[:, columns] = found
    return full, shift


def _own(contraction: Contraction, evidence: Evidence) -> bool:
    """Say whether the weights are read by this node alone, so that they may change."""
    layer = evidence.layers.get(contraction.node)
    if layer is None or contraction.node not in evidence.grams:
        return False
    graph = evidence.coupling.model.ir.graph
    names = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    values = [graph.initializers[name] for name in names]
    return all(len(value.uses()) == 1 and not value.is_graph_output() for value in values)
