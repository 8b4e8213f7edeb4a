"""Save a model so that the file is either the old one or the new one, never between."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

import onnx_ir as ir
from onnx_ir import external_data

from edgekit.errors import OutputError
from edgekit.graph.examine import parse
from edgekit.graph.external import span_of
from edgekit.graph.model import Model
from edgekit.graph.structure import tensors_of

EMBEDDED_BYTES = 3 << 29
"""Weights of more than this in all go to one external file (a protobuf ends at 2 GiB)."""

KEPT_EXTERNAL_BYTES = 100_000_000
"""A model that came with more external data than this, or with parts of such, keeps it external."""

_SMALL_BYTES = 1024
_CHUNK_BYTES = 1 << 20


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the model; weights go to `<name>.data` beside it when they are too large to embed.

    The file is written beside its place, synced and renamed. Weights are streamed, never held in
    memory as a whole.

    Raises:
        OutputError: the place cannot be written; what was there is unchanged.
    """
    file = Path(path)
    written: list[Path] = []
    try:
        graph = model.editable()
        if _needs_external(model):
            data = _free_name(file)
            written.append(data)
            external_data.unload_from_model(
                graph, file.parent, data.name, size_threshold_bytes=_SMALL_BYTES
            )
            _sync(data)
        else:
            data = None
            external_data.load_to_model(graph)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        written.append(part)
        with part.open("wb") as stream:
            stream.write(ir.to_proto(graph).SerializeToString(deterministic=True))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        _sync(file.parent)
        _remove_old_data(file, data)
    except OSError as error:
        for left in written:
            with contextlib.suppress(OSError):
                left.unlink()
        raise OutputError(
            "cannot be written",
            where=str(file),
            found=error.strerror or str(error),
            remedy="free space or choose another folder",
        ) from None


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return a hash of the model file; with external data, of its and all their hashes."""
    file = Path(path)
    own = _sha256(file)
    others = _external_files(file)
    if not others:
        return own
    lines = [own, *(f"{other.relative_to(file.parent)} {_sha256(other)}" for other in others)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def model_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the model file and, after it, its external data files."""
    file = Path(path)
    return (file, *_external_files(file))


def file_size(path: str | os.PathLike[str]) -> int:
    """Return the bytes of the model file and its external data files."""
    file = Path(path)
    return sum(part.stat().st_size for part in (file, *_external_files(file)))


def _needs_external(model: Model) -> bool:
    tensors = list(model.tensors())
    came = sum(t.nbytes for t in tensors if isinstance(t, ir.ExternalTensor | ir.LazyTensor))
    return came > KEPT_EXTERNAL_BYTES or sum(t.nbytes for t in tensors) > EMBEDDED_BYTES


def _remove_old_data(file: Path, data: Path | None) -> None:
    """Remove what earlier models of this name left, now that none refers to it."""
    ours = re.compile(re.escape(file.name) + r"(\.\d+)?\.data")
    for other in file.parent.iterdir():
        if other != data and ours.fullmatch(other.name):
            other.unlink()


def _free_name(file: Path) -> Path:
    """Return a name for the data that no older model beside it can be using."""
    name = file.with_name(f"{file.name}.data")
    number = 1
    while name.exists():
        number += 1
        name = file.with_name(f"{file.name}.{number}.data")
    return name


def _external_files(file: Path) -> list[Path]:
    if file.suffix == ".tflite":
        return []
    model = parse(file.read_bytes())
    spans = {
        span_of(tensor, where).location
        for tensor, where in tensors_of(model)
        if tensor.external_data
    }
    return [file.parent / location for location in sorted(spans)]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
