"""A folder of images, `class/xxx.png`, prepared as the release profile says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from edgekit.dataset.contract import ArraySpec, Labels, Sample
from edgekit.errors import DataError
from edgekit.release import Preprocessing

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
_MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Images as samples of one model input.

    The label of an image is the index of its folder among the sorted folder names; images that
    lie in the folder itself have no label.
    """

    source: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    input_name: str
    preprocessing: Preprocessing

    @classmethod
    def open(cls, path: Path, input_name: str, preprocessing: Preprocessing) -> ImageFolder:
        """List the images of `path`; nothing is decoded yet.

        Raises:
            DataError: labelled and unlabelled images are mixed.
        """
        files = tuple(sorted(f for f in path.rglob("*") if f.suffix.lower() in FORMATS))
        flat = [f for f in files if f.parent == path]
        if flat and len(flat) != len(files):
            raise DataError(
                "images lie both in class folders and beside them",
                where=str(path),
                found=flat[0].name,
                expected="CLASS/image.png for all, or for none",
            )
        classes = () if flat else tuple(sorted({f.relative_to(path).parts[0] for f in files}))
        return cls(str(path), files, classes, input_name, preprocessing)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def specs(self) -> dict[str, ArraySpec]:
        """Return the one input that images become."""
        how = self.preprocessing
        height, width = how.crop or how.size
        channels = 1 if how.colour == "grey" else 3
        shape = (height, width, channels) if how.layout == "NHWC" else (channels, height, width)
        return {self.input_name: ArraySpec(dtype="float32", shape=shape)}

    def samples(self) -> Iterator[Sample]:
        """Yield each image, decoded, resized, cropped and normalised."""
        for file in self.files:
            yield {self.input_name: prepare(file, self.preprocessing)}

    def labels(self) -> Labels | None:
        """Return the class index of each image."""
        if not self.classes:
            return None
        index = {name: i for i, name in enumerate(self.classes)}
        root = Path(self.source)
        return np.array([index[f.relative_to(root).parts[0]] for f in self.files])


def prepare(file: Path, how: Preprocessing) -> npt.NDArray[np.float32]:
    """Return one image as the model's input, shape (C, H, W) or (H, W, C), float32.

    Raises:
        DataError: not an image of an allowed format, or too many pixels.
    """
    try:
        with Image.open(file, formats=sorted(set(FORMATS.values()))) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DataError(
                    "the image is too large",
                    where=str(file),
                    found=f"{image.width}x{image.height} pixels",
                    expected=f"at most {_MAX_PIXELS // 1_000_000} million",
                )
            pixels = _pixels(image.convert("L" if how.colour == "grey" else "RGB"), how)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            "cannot be read as an image",
            where=str(file),
            found=str(error),
            expected=f"one of {', '.join(sorted(set(FORMATS.values())))}",
        ) from error
    if how.colour == "bgr":
        pixels = pixels[..., ::-1]
    mean, std = np.asarray(how.mean, np.float32), np.asarray(how.std, np.float32)
    pixels = np.divide(np.subtract(pixels, mean), std, dtype=np.float32)
    if how.layout == "NCHW":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def _pixels(image: Image.Image, how: Preprocessing) -> npt.NDArray[np.float32]:
    height, width = how.size
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    if how.crop is not None:
        crop_height, crop_width = how.crop
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
        image = image.crop((left, top, left + crop_width, top + crop_height))
    pixels = np.asarray(image, np.float32) / np.float32(255)
    return pixels[..., None] if pixels.ndim == 2 else pixels  # noqa: PLR2004  # grey: (H, W)
