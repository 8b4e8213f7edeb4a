"""Cross-layer equalization: every channel of a weight gets as much of its grid as the others.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.1, eq. 11, for any number of layers before and behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.quantization.scaling import End, Scalable, weight_at

Doubles = npt.NDArray[np.float64]
_ROUNDS = 20
_SETTLED = 1e-3
_LIMIT = 2.0**8


def equalized(graph: ir.Graph, scalables: Sequence[Scalable]) -> list[Doubles]:
    """Return for each of `scalables` the factors that make the ranges of its channels equal.

    A channel's range in the layers before is r1, in those behind r2; s = sqrt(r1 / r2) makes both
    sqrt(r1 r2). Layers that stand in several of them are passed on until nothing moves.

    Args:
        graph: holds the weights.
        scalables: of `homogeneity.scalables`.

    Returns:
        factors to divide by, shape (channels,) each; 1 where a channel is dead or nothing before
        it is a weight.
    """
    nodes = {node.outputs[0].name or "": node for node in graph if node.outputs}
    factors = [np.ones(one.channels) for one in scalables]
    for _ in range(_ROUNDS):
        moved = 0.0
        for index, one in enumerate(scalables):
            others = _applied(scalables, factors)
            before = _ranges(nodes, one, others, columns=False)
            behind = _ranges(nodes, one, others, columns=True)
            step = np.ones(one.channels)
            alive = (before > 0) & (behind > 0)
            step[alive] = np.sqrt(before[alive] / behind[alive])
            if alive.any():
                step[alive] /= np.exp(np.log(step[alive]).mean())
            new = np.clip(factors[index] * step, 1 / _LIMIT, _LIMIT)
            moved = max(moved, float(np.abs(np.log(new / factors[index])).max()))
            factors[index] = new
        if moved < _SETTLED:
            break
    return factors


def _applied(
    scalables: Sequence[Scalable], factors: Sequence[Doubles]
) -> dict[tuple[str, int], list[tuple[End, Doubles]]]:
    found: dict[tuple[str, int], list[tuple[End, Doubles]]] = {}
    for one, scales in zip(scalables, factors, strict=True):
        for end in one.ends:
            found.setdefault((end.node, end.index), []).append((end, scales))
    return found


def _ranges(
    nodes: Mapping[str, ir.Node],
    one: Scalable,
    applied: Mapping[tuple[str, int], Sequence[tuple[End, Doubles]]],
    *,
    columns: bool,
) -> Doubles:
    """Return the largest magnitude of each channel's weights before it, or behind it."""
    peaks = np.zeros(one.channels)
    for end in one.ends:
        if end.role != ("columns" if columns else "rows"):
            continue
        weight = np.abs(weight_at(nodes, end).astype(np.float64))
        for other, scales in applied[end.node, end.index]:
            weight = weight * other.factor(scales, weight)
        if columns:
            found = end.columns(weight).max(axis=(1, 3)).reshape(-1)
        else:
            rest = tuple(axis for axis in range(weight.ndim) if axis != end.axis % weight.ndim)
            found = weight.max(axis=rest)
        peaks = np.maximum(peaks, found)
    return peaks
