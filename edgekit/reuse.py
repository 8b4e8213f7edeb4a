"""What a step made before of the same model, data and options is used again.

An entry is a folder named by a hash over everything that the outcome depends on: edgekit's own
source, the versions below it, the model, every sample, the parameters, the target, how the model
is run, and what measured. So nothing is ever out of date, and no entry is ever changed. A folder
appears whole or not at all; one that is not what it says it is counts as none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from edgekit import graph
from edgekit.candidate import Skip, StepRecord
from edgekit.dataset import Dataset
from edgekit.errors import EdgekitError
from edgekit.graph import Model

_BELOW = ("numpy", "onnx", "onnx-ir", "onnxruntime", "scipy")
_MOST_BYTES = 2 << 30
"""The entries that were used longest ago go when all of them are larger."""
_MODEL, _RECORD = "model.onnx", "record.json"
_BROKEN = (OSError, ValueError, KeyError, TypeError, EdgekitError)


def key_of(
    model: Model, data: Dataset | None, workspace: Path, conditions: Mapping[str, Any]
) -> str:
    """Return the name of the entry for a step.

    Args:
        model: what the step starts from.
        data: every sample of it counts.
        workspace: a private folder, for a copy of the model.
        conditions: all else that the outcome depends on; JSON values.
    """
    digest = hashlib.sha256(_program().encode())
    digest.update(json.dumps(conditions, sort_keys=True, default=str).encode())
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        file = Path(folder) / _MODEL
        graph.save(model, file)
        digest.update(graph.file_sha256(file).encode())
    for sample in data.samples() if data is not None else ():
        for name in sorted(sample):
            array = np.ascontiguousarray(sample[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def found(key: str, model: Model) -> tuple[Model, StepRecord] | None:
    """Return what was kept under `key`: what the step made of `model`, and its record.

    None where there is no such entry or it is damaged.
    """
    folder = _home() / key
    try:
        read = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        record = StepRecord(
            name=read["name"],
            params=read["params"],
            changed=read["changed"],
            skipped=tuple(Skip(**skip) for skip in read["skipped"]),
            facts=read["facts"],
            seconds=read["seconds"],
        )
        if record.changed:
            file = folder / _MODEL
            if graph.file_sha256(file) != read["sha256"]:
                return None
            made = graph.load(file)
            model = replace(made, name=model.name)
        os.utime(folder)
    except _BROKEN:
        return None
    return model, record


def keep(key: str, model: Model, record: StepRecord) -> None:
    """Keep what a step made; where that cannot be written nothing is kept and nothing said.

    Args:
        key: of `key_of`.
        model: what was made; only looked at if it changed.
        record: of the step.
    """
    home = _home()
    with contextlib.suppress(OSError, EdgekitError, TypeError, ValueError):
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".part-") as part:
            entry = Path(part) / key
            entry.mkdir()
            written: dict[str, Any] = asdict(record)
            if record.changed:
                graph.save(model, entry / _MODEL)
                written["sha256"] = graph.file_sha256(entry / _MODEL)
            (entry / _RECORD).write_text(json.dumps(written, allow_nan=False), encoding="utf-8")
            shutil.rmtree(home / key, ignore_errors=True)
            entry.rename(home / key)
        _make_room(home)


def _home() -> Path:
    return platformdirs.user_cache_path("edgekit") / "steps"


def _make_room(home: Path) -> None:
    """Remove the entries that were used longest ago until the rest is small enough."""
    entries = [entry for entry in home.iterdir() if not entry.name.startswith(".")]
    total = 0
    for entry in sorted(entries, key=lambda entry: -entry.stat().st_mtime):
        total += sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
        if total > _MOST_BYTES:
            shutil.rmtree(entry, ignore_errors=True)


@functools.cache
def _program() -> str:
    """Return what stands for the code: the content of edgekit, the versions of what it rests on."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    versions = [f"{name} {metadata.version(name)}" for name in _BELOW]
    return "\n".join([digest.hexdigest(), *versions])
