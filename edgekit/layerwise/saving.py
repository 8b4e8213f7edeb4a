"""Models as files, for as long as a native call needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekit.graph import Model, save


@contextmanager
def saved(workspace: Path, **models: Model) -> Iterator[tuple[Path, ...]]:
    """Yield a file for each model, named as its keyword, in a folder that is gone afterwards."""
    with TemporaryDirectory(dir=workspace) as folder:
        files = tuple(Path(folder) / f"{name}.onnx" for name in models)
        for model, file in zip(models.values(), files, strict=True):
            save(model, file)
        yield files
