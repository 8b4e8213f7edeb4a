"""What a training leaves in its folder, and whether it is of use to the next."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgekit.distillation.packing import Array, Packed
from edgekit.distillation.recipe import Recipe
from edgekit.graph import file_sha256

ANSWERS = "answers"
CHECKPOINT = "checkpoint.npz"


def key_of(
    recipe: Recipe, files: Sequence[Path], parts: Sequence[Packed], labels: Array | None
) -> str:
    """Return what tells a training from any other: how it is done, by which models, on what."""
    told = [
        json.dumps(asdict(recipe), sort_keys=True),
        *(file_sha256(file) for file in files),
        *(part.digest for part in parts),
        "" if labels is None else hashlib.sha256(labels.tobytes()).hexdigest(),
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def begin(folder: Path, key: str) -> None:
    """Drop what another training has left."""
    file = folder / "training.key"
    if not file.is_file() or file.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder / ANSWERS, ignore_errors=True)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        file.write_text(key, encoding="utf-8")
    (folder / ANSWERS).mkdir(exist_ok=True)
