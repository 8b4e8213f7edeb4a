"""Batch normalizations that are still in the graph get the statistics of what they now read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.layerwise.columns import some_positions
from edgekit.layerwise.stepwise import Stepwise
from edgekit.pruning.fitting import LayerFit, Moments, left
from edgekit.pruning.gram import with_ones
from edgekit.pruning.ridge import Matrix

Array = npt.NDArray[Any]

_POSITIONS = 16384
_INPUTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A BatchNormalization with constant parameters, in inference.

    Attributes:
        node: its name.
        data: what it reads; channels on axis 1, as in the output.
        output: what it makes.
        parameters: initializers: scale, shift, mean, variance.
        epsilon: added to the variance.
    """

    node: str
    data: str
    output: str
    parameters: tuple[str, ...]
    epsilon: float

    @property
    def axis(self) -> int:
        """The axis of the channels."""
        return 1


def norm_of(node: ir.Node) -> Norm | str | None:
    """Return a BatchNormalization, or why its statistics must stay; None for other nodes."""
    if node.op_type != "BatchNormalization" or node.domain not in {"", "ai.onnx"}:
        return None
    values = [value for value in node.inputs if value is not None]
    if len(values) != _INPUTS or any(value.const_value is None for value in values[1:]):
        return "its parameters are computed"
    if any(len(value.uses()) > 1 for value in values[3:]) or values[3] is values[4]:
        return "shares its statistics with other nodes"
    return Norm(
        node=node.name or "",
        data=values[0].name or "",
        output=node.outputs[0].name or "",
        parameters=tuple(value.name or "" for value in values[1:]),
        epsilon=node.attributes.get_float("epsilon", 1e-5),
    )


def re_estimated(
    dense: Stepwise, pruned: Stepwise, norm: Norm, kept: npt.NDArray[np.int64] | None
) -> tuple[dict[str, Array], LayerFit]:
    """Return the statistics to change, and what became of the node.

    Statistics of what the pruned network now makes are taken where they bring the output nearer
    to the dense one on held-out data.

    Args:
        dense: not yet past the node, as `pruned`.
        pruned: what the statistics belong to.
        norm: of the pruned graph.
        kept: the channels that stay; None for all.

    Source: the correction of batch statistics after a change of weights, e.g. Li et al. 2020
    (EagleEye), section 3.
    """
    parameters = [_array(pruned.graph, name) for name in norm.parameters]
    scale, shift, mean, variance = (array.astype(np.float64) for array in parameters)
    fit, held_out = _moments(dense, pruned, norm, len(scale), kept)

    def affine(mean: Matrix, variance: Matrix) -> tuple[Matrix, Matrix]:
        weight = scale / np.sqrt(variance + norm.epsilon)
        return weight[:, None, None], (shift - mean * weight)[:, None]

    before = held_out.error(*affine(mean, variance))
    if not fit.count or not held_out.count:
        return {}, left(norm.node, before, "too few samples to hold some out")
    after = held_out.error(*affine(*_statistics(fit)))
    if not after < before:
        return {}, left(norm.node, before, "new statistics are no better on held-out data")
    found = _statistics(fit.plus(held_out))
    changed = {
        name: new.astype(old.dtype)
        for name, new, old in zip(norm.parameters[2:], found, parameters[2:], strict=True)
    }
    reason = "statistics of what it reads"
    return changed, LayerFit(
        node=norm.node, before=before, after=after, accepted=True, reason=reason
    )


def _moments(
    dense: Stepwise,
    pruned: Stepwise,
    norm: Norm,
    channels: int,
    kept: npt.NDArray[np.int64] | None,
) -> tuple[Moments, Moments]:
    """Return sums of (x, 1) and y by channel, over samples to fit to and those held out."""
    dense.advance([norm.output])
    pruned.advance([norm.data])
    sums = Moments.empty(channels, 1, 2), Moments.empty(channels, 1, 2)
    total = sum(part.size for part in pruned.parts)
    for part in pruned.parts:
        x = np.moveaxis(pruned.read(norm.data, part), 1, -1).reshape(-1, channels)
        y = np.moveaxis(dense.read(norm.output, part), 1, -1)
        y = y.reshape(len(x), -1)
        count = math.ceil(_POSITIONS * part.size / total)
        at = some_positions(norm.node, part.number, len(x), count)
        wanted = y[at] if kept is None else y[at][:, kept]
        sums[part.held_out].add(with_ones(x[at].T[:, :, None]), wanted)
    return sums


def _statistics(moments: Moments) -> tuple[Matrix, Matrix]:
    """Return the mean and the variance of x, each of shape (channels,)."""
    mean = moments.gram[:, 0, 1] / moments.count
    return mean, np.maximum(moments.gram[:, 0, 0] / moments.count - mean**2, 0.0)


def _array(graph: ir.Graph, name: str) -> Array:
    tensor = graph.initializers[name].const_value
    if tensor is None:
        raise TypeError(name)
    return tensor.numpy()
