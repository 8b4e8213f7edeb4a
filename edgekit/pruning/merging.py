"""Filters that are nearly the same become one: what read both reads the one that stays.

If filter d is nearly r times filter k (bias included, r > 0), then behind any activation with
f(r x) = r f(x), as Relu and its kind, what d made is r times what k made, so a reader's columns add
up: w_k + r w_d. Behind any other activation that holds where r is near 1.

Source: Srinivas & Babu 2015, "Data-free parameter pruning for deep neural networks", eq. 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.graph import Model
from edgekit.pruning.coupling import FIXED, ChannelGroup, Coupling, Ids, Keep
from edgekit.pruning.criteria.contract import summed
from edgekit.pruning.criteria.redundancy import vectors
from edgekit.pruning.evidence import Array, Evidence, weights_of

LEAST_COSINE = 0.8
"""Of filters that count as nearly the same."""


def merged(
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    keep: Keep,
    *,
    least_cosine: float = LEAST_COSINE,
) -> Model:
    """Return the model, of the same shapes, whose readers of a twin that stays read for both.

    Channels are then removed from the result; those without a twin are just dropped.

    Args:
        coupling: of the model.
        groups: whose channels go.
        keep: which channels stay.
        least_cosine: see `LEAST_COSINE`.
    """
    evidence = weights_of(coupling)
    new: dict[str, Array] = {}
    for group in groups:
        twins = twins_of(group, keep, evidence, least_cosine)
        if not twins:
            continue
        for name, axis in group.consumers:
            ids = coupling.on(name, axis)
            if ids is not None:
                weight = new.get(name, evidence.weight(name))
                new[name] = _added(weight, axis, evidence.places(group, ids), twins)
    return _with(coupling.model, new) if new else coupling.model


def twins_of(
    group: ChannelGroup, keep: Keep, evidence: Evidence, least_cosine: float = LEAST_COSINE
) -> dict[int, tuple[int, float]]:
    """Return for channels that go (the twin that stays, ratio), all by place in the group."""
    stays = keep[group.channels]
    kept, gone = np.flatnonzero(stays), np.flatnonzero(~stays)
    stages = _stages(group, evidence)
    if not stages or not gone.size or not kept.size:
        return {}
    cosines, ratios = np.ones((len(gone), len(kept))), np.ones((len(gone), len(kept)))
    for filters in stages:
        norms = np.maximum(np.linalg.norm(filters, axis=1), np.finfo(float).tiny)
        found = (filters[gone] @ filters[kept].T) / np.outer(norms[gone], norms[kept])
        cosines = np.minimum(cosines, found)
        ratios *= found * norms[gone][:, None] / norms[kept]
    nearest = cosines.argmax(axis=1)
    return {
        int(place): (int(kept[twin]), float(ratios[row, twin]))
        for row, (place, twin) in enumerate(zip(gone, nearest, strict=True))
        if cosines[row, twin] >= least_cosine
    }


def _stages(group: ChannelGroup, evidence: Evidence) -> list[npt.NDArray[np.float64]]:
    """Return what makes each channel, biases included, shape (channels, elements) each.

    Layers whose results are added are one stage. A depthwise convolution is a stage of its own: it
    scales what the one before made.
    """
    sums: list[npt.NDArray[np.float64]] = []
    stages: list[npt.NDArray[np.float64]] = []
    layers = {layer.weight: layer for layer in evidence.layers.values()}
    for producer in group.producers:
        filters = vectors(replace(group, producers=(producer,)), evidence)
        layer = layers.get(producer[0])
        if layer is not None and layer.bias is not None:
            filters = np.concatenate([filters, _biases(group, layer.bias, evidence)], axis=1)
        alone = layer is not None and layer.groups > 1
        (stages if alone else sums).append(filters)
    together = [np.concatenate(sums, axis=1)] if sums else []
    return [stage for stage in (*together, *stages) if stage.size]


def _biases(group: ChannelGroup, name: str, evidence: Evidence) -> npt.NDArray[np.float64]:
    bias = evidence.weight(name)
    ids = evidence.coupling.on(name, bias.ndim - 1)
    if ids is None:
        return np.zeros((len(group.channels), 0))
    return summed(bias.reshape(-1), evidence.places(group, ids), len(group.channels))[:, None]


def _added(weight: Array, axis: int, places: Ids, twins: Mapping[int, tuple[int, float]]) -> Array:
    """Return a weight whose positions of twins hold what was at those of the channels that go."""
    result = np.moveaxis(weight.copy(), axis, 0)
    before = np.moveaxis(weight, axis, 0)
    positions: dict[int, list[int]] = {}
    for position, place in enumerate(places.tolist()):
        if place != FIXED:
            positions.setdefault(place, []).append(position)
    for gone, (twin, ratio) in twins.items():
        here, there = positions.get(gone, []), positions.get(twin, [])
        if len(here) == len(there) and here:
            result[there] += (ratio * before[here]).astype(weight.dtype)
    return np.moveaxis(result, 0, axis)


def _with(model: Model, weights: Mapping[str, Array]) -> Model:
    edited = model.editable()
    for name, array in weights.items():
        value = edited.graph.initializers[name]
        value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)
    return Model(ir=edited, name=model.name)
