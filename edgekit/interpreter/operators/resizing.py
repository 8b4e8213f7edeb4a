"""Images are sampled anew.

Each axis is resized by itself: a matrix of shape (outputs, inputs) says what share of each input an
output gets. The matrix depends on sizes only, so the result is linear in the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import ints

Matrix = npt.NDArray[np.float64]
Coordinates = npt.NDArray[np.float32]

_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}
_SCALES_FIRST = 10
"""In this opset scales are the second input; later ones put the region first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """One axis that is resized: its length before and after, the scale, and the part of it used."""

    axis: int
    size: int
    length: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


def resize(node: Node, x: Tensor, *inputs: Tensor | None) -> Tensor:
    """Nearest, linear or cubic, by scales or to sizes."""
    mode, transform = node.get("mode", "nearest"), _transform(node)
    kind = x.dtype
    x = x if x.is_floating_point() else x.double()
    inside: Tensor | None = None
    for one in _axes(node, x, inputs):
        places = _coordinates(one, transform)
        if transform == "tf_crop_and_resize":
            within = torch.from_numpy((places >= 0) & (places <= one.size - 1))
            within = within.reshape([-1 if i == one.axis else 1 for i in range(x.ndim)])
            inside = within if inside is None else inside & within
        if mode == "nearest":
            index = _nearest(node, places, one)
            x = x.index_select(one.axis, torch.from_numpy(index))
        elif one.scale != 1 or one.length != one.size or transform == "tf_crop_and_resize":
            matrix = torch.from_numpy(_shares(node, mode, places, one)).to(x.dtype)
            x = torch.movedim(torch.movedim(x, one.axis, -1) @ matrix.T, -1, one.axis)
    if inside is not None:
        x = torch.where(inside, x, torch.as_tensor(node.get("extrapolation_value", 0.0)).to(x))
    return x if x.dtype == kind else x.round().to(kind)


def upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    """What Resize was called before opset 10."""
    given = node.get("scales") if scales is None else scales.tolist()
    return resize(node, x, torch.tensor(given))


def grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    """Read at given places, -1 to 1 over each axis; modes had other names before opset 20."""
    mode = node.get("mode", "linear")
    return torch.nn.functional.grid_sample(
        x,
        grid,
        _GRID_MODES.get(mode, mode),
        node.get("padding_mode", "zeros"),
        bool(node.get("align_corners", 0)),
    )


def _transform(node: Node) -> str:
    oldest = node.kind == "Upsample" or node.opset == _SCALES_FIRST
    default = "asymmetric" if oldest else "half_pixel"
    return str(node.get("coordinate_transformation_mode", default))


def _axes(node: Node, x: Tensor, inputs: tuple[Any, ...]) -> list[_Axis]:
    oldest = node.kind == "Upsample" or node.opset == _SCALES_FIRST
    region, scales, sizes = (None, inputs[0], None) if oldest else (*inputs, None, None, None)[:3]
    along = [axis % x.ndim for axis in node.get("axes", range(x.ndim))]
    have = [x.shape[axis] for axis in along]
    if scales is not None and scales.numel():
        factors = [float(scale) for scale in scales.float()]
        lengths = [int(np.floor(size * f)) for size, f in zip(have, factors, strict=True)]
    else:
        lengths = ints(sizes)
        factors = [length / size for length, size in zip(lengths, have, strict=True)]
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(along)
            lengths = [int(np.floor(size * factor + 0.5)) for size in have]
    bounds = [(0.0, 1.0)] * len(along)
    if region is not None and region.numel():
        starts, ends = np.split(np.array(region.tolist()), 2)
        bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
    return [
        _Axis(axis=axis, size=size, length=length, scale=factor, region=bound)
        for axis, size, length, factor, bound in zip(
            along, have, lengths, factors, bounds, strict=True
        )
        if length != size or factor != 1 or bound != (0.0, 1.0)
    ]


def _coordinates(one: _Axis, transform: str) -> Coordinates:
    """Return where in the input each output lies; float32, as runtimes round it."""
    places = np.arange(one.length, dtype=np.float32)
    scale, last = np.float32(one.scale), np.float32(one.size - 1)
    if transform == "align_corners":
        return places * last / np.float32(max(one.length - 1, 1))
    if transform == "asymmetric":
        return places / scale
    if transform == "tf_crop_and_resize":
        start, end = np.float32(one.region[0]), np.float32(one.region[1])
        if one.length == 1:
            return np.full(1, 0.5, np.float32) * (start + end) * last
        return start * last + places * (end - start) * last / np.float32(one.length - 1)
    centres = (places + np.float32(0.5)) / scale - np.float32(0.5)
    if transform == "half_pixel_symmetric":
        adjustment = one.length / (one.scale * one.size)
        centres += np.float32(one.size / 2 * (1 - adjustment))
    single = transform == "pytorch_half_pixel" and one.length == 1
    return np.zeros_like(centres) if single else centres


def _nearest(node: Node, places: Coordinates, one: _Axis) -> npt.NDArray[np.int64]:
    rule = node.get("nearest_mode", "round_prefer_floor")
    if node.kind == "Upsample" or node.opset == _SCALES_FIRST:
        rule = "floor"
    rounded = {
        "round_prefer_floor": np.ceil(places - np.float32(0.5)),
        "round_prefer_ceil": np.floor(places + np.float32(0.5)),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }[rule]
    index: npt.NDArray[np.int64] = rounded.astype(np.int64).clip(0, one.size - 1)
    return index


def _shares(node: Node, mode: str, places: Coordinates, one: _Axis) -> Matrix:
    """Return the matrix (outputs, inputs); beyond the border lies the border's value again."""
    shrunk = min(one.scale, 1.0) if node.get("antialias", 0) else 1.0
    reach = int(np.ceil((1 if mode == "linear" else 2) / shrunk))
    read = np.floor(places)[:, None].astype(np.int64) + np.arange(1 - reach, reach + 1)
    distance = np.abs(read - places[:, None].astype(np.float64)) * shrunk
    shares = _tent(distance) if mode == "linear" else _cubic(distance, node)
    if node.get("exclude_outside", 0):
        shares = np.where((read < 0) | (read >= one.size), 0.0, shares)
    if node.get("exclude_outside", 0) or shrunk < 1:
        shares = shares / shares.sum(axis=1, keepdims=True)
    matrix = np.zeros((one.length, one.size))
    rows = np.arange(one.length)[:, None].repeat(read.shape[1], axis=1)
    np.add.at(matrix, (rows, read.clip(0, one.size - 1)), shares)
    return matrix


def _tent(distance: Matrix) -> Matrix:
    return np.clip(1 - distance, 0, 1)


def _cubic(distance: Matrix, node: Node) -> Matrix:
    """Source: Keys 1981, "Cubic convolution interpolation for digital image processing"."""
    a = node.get("cubic_coeff_a", -0.75)
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))  # noqa: PLR2004  # its support


OPERATORS: dict[str, Operator] = {
    "GridSample": grid_sample,
    "Resize": resize,
    "Upsample": upsample,
}
