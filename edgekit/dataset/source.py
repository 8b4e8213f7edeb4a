"""From what the user names to a dataset that fits the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.dataset.contract import Dataset
from edgekit.dataset.generated import GeneratedDataset
from edgekit.dataset.images import FORMATS, ImageFolder
from edgekit.dataset.npz import NpzDataset
from edgekit.errors import DataError
from edgekit.graph import Model, TensorSpec
from edgekit.reference import is_reference
from edgekit.release import Preprocessing

_KINDS = "an .npz, a folder of .npz shards, a folder of images, or module:callable"


def open_data(
    source: str | Path, model: Model, *, preprocessing: Preprocessing | None = None
) -> Dataset:
    """Open `source` and check every sample against the model's inputs.

    Raises:
        DataError: unreadable, empty, a missing or extra input, a wrong shape or dtype, NaN or
            infinity in a sample.
    """
    data = _open(source, model, preprocessing)
    if len(data) == 0:
        raise DataError("holds no samples", where=data.source, expected="at least one")
    _check_specs(data, model.inputs)
    _check_values(data)
    return data


def _open(source: str | Path, model: Model, preprocessing: Preprocessing | None) -> Dataset:
    text = str(source)
    path = Path(source)
    if path.is_file():
        return NpzDataset.open(path)
    if path.is_dir():
        if any(path.glob("*.npz")):
            return NpzDataset.open(path)
        if any(file.suffix.lower() in FORMATS for file in path.rglob("*")):
            return _open_images(path, model, preprocessing)
        raise DataError("the folder holds no data", where=text, expected=_KINDS)
    if is_reference(text):
        return GeneratedDataset.open(text)
    raise DataError("no such data", where=text, expected=_KINDS)


def _open_images(path: Path, model: Model, preprocessing: Preprocessing | None) -> Dataset:
    if preprocessing is None:
        raise DataError(
            "images need to know how the model wants them",
            where=str(path),
            remedy="add a [preprocessing] table to the release profile; `edgekit init` writes one",
        )
    if len(model.inputs) != 1:
        raise DataError(
            "a folder of images feeds one input",
            where=str(path),
            found=f"a model with {len(model.inputs)}",
            remedy="give an .npz with one array per input",
        )
    return ImageFolder.open(path, model.inputs[0].name, preprocessing)


def _check_specs(data: Dataset, inputs: tuple[TensorSpec, ...]) -> None:
    specs = data.specs()
    wanted = {spec.name for spec in inputs}
    if missing := wanted - set(specs):
        raise DataError(
            f"no array for the model's input {min(missing)!r}",
            where=data.source,
            found=str(sorted(specs)),
            expected=str(sorted(wanted)),
        )
    if extra := set(specs) - wanted:
        raise DataError(
            f"array {min(extra)!r} is no input of the model",
            where=data.source,
            found=str(sorted(specs)),
            expected=str(sorted(wanted)),
        )
    for spec in inputs:
        found = specs[spec.name]
        if found.dtype != spec.dtype:
            raise DataError(
                f"array {spec.name!r} has the wrong dtype",
                where=data.source,
                found=found.dtype,
                expected=spec.dtype,
            )
        if found.shape is not None and not fits(found.shape, spec):
            raise DataError(
                f"array {spec.name!r} has the wrong shape",
                where=data.source,
                found=_show(("N", *found.shape)),
                expected=_show(spec.shape or ()),
            )


def fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    """Say whether one sample of `shape`, without its sample axis, fits the input."""
    if spec.shape is None:
        return True
    axes = spec.shape[1:]
    return len(axes) == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(axes, shape, strict=True)
    )


def _show(shape: tuple[int | str, ...]) -> str:
    return "x".join(str(axis) or "?" for axis in shape)


def _check_values(data: Dataset) -> None:
    for index, sample in enumerate(data.samples()):
        for name, array in sample.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                kind = "NaN" if np.isnan(array).any() else "infinity"
                raise DataError(
                    f"{kind} in array {name!r}",
                    where=data.source,
                    found=f"sample {index}",
                    expected="finite numbers",
                    remedy="remove or repair the sample",
                )
