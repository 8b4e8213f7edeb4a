"""What a graph would cost with some channels only, fast enough to be asked thousands of times."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from scipy import sparse

from edgekit.graph import Model
from edgekit.pruning.coupling import FIXED, Coupling, Ids, Keep

_INDEX_TYPES = {ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.STRING}


class Costing:
    """Multiply-adds and parameters of a graph for any choice of channels.

    Both are sums of products of axis lengths. The length of every distinct axis is one row of a
    sparse matrix, times the flags of the channels.

    Args:
        coupling: of the graph.
    """

    def __init__(self, coupling: Coupling) -> None:
        axes = _Axes()
        products = [
            (product.macs, [axes.index(ids) for ids in product.axes])
            for product in coupling.products
        ]
        weights = [
            (size, [axes.index(ids) for ids in coupling.axes.get(name, ()) if ids is not None])
            for name, size in _weights(coupling.model).items()
        ]
        self._macs, self._parameters = _Sum(products), _Sum(weights)
        self._counts, self._fixed = axes.matrix(coupling.count)
        self._lengths = self._counts.sum(axis=1) + self._fixed

    def macs(self, keep: Keep) -> int:
        """Return the multiply-adds of one inference at the analysed shapes."""
        return self._macs(self._shares(keep))

    def parameters(self, keep: Keep) -> int:
        """Return the elements of all weights, as `graph.costs` counts them in a prepared model."""
        return self._parameters(self._shares(keep))

    def _shares(self, keep: Keep) -> npt.NDArray[np.float64]:
        """Return for each distinct axis which share of it stays; the last entry is 1."""
        shares = (self._counts @ keep.astype(np.float64) + self._fixed) / self._lengths
        return np.append(shares, 1.0)


def _weights(model: Model) -> dict[str, int]:
    """Return the elements of every initializer that nodes read; index tensors are no weights."""
    read = {value for node in model.ir.graph for value in node.inputs if value is not None}
    tensors = ((value, value.const_value) for value in read if value.is_initializer())
    return {
        value.name or "": tensor.size
        for value, tensor in tensors
        if tensor is not None and tensor.dtype not in _INDEX_TYPES
    }


class _Axes:
    """Numbers distinct axes."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._axes: list[Ids] = []

    def index(self, ids: Ids) -> int:
        number = self._numbers.setdefault(ids.tobytes(), len(self._axes))
        if number == len(self._axes):
            self._axes.append(ids)
        return number

    def matrix(self, count: int) -> tuple[sparse.csr_array, npt.NDArray[np.float64]]:
        """Return how often each channel lies on each axis, and how many positions are fixed."""
        lengths = [len(ids) for ids in self._axes]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        columns = np.concatenate([*self._axes, np.empty(0, np.int64)])
        live = columns != FIXED
        fixed = np.bincount(rows[~live], minlength=len(lengths)).astype(np.float64)
        ones = np.ones(int(live.sum()))
        places = (rows[live], columns[live])
        return sparse.csr_array((ones, places), shape=(len(lengths), count)), fixed


class _Sum:
    """A sum of terms, each in proportion to the lengths of some axes."""

    def __init__(self, terms: Iterable[tuple[int, list[int]]]) -> None:
        given = list(terms)
        widest = max((len(axes) for _, axes in given), default=0)
        self._whole = np.array([size for size, _ in given], np.float64)
        self._axes = np.array([axes + [-1] * (widest - len(axes)) for _, axes in given], np.intp)
        self._axes = self._axes.reshape(len(given), widest)

    def __call__(self, shares: npt.NDArray[np.float64]) -> int:
        terms = self._whole * shares[self._axes].prod(axis=1)
        return int(math.fsum(np.rint(terms)))
