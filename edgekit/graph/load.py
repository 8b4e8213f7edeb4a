"""Load a model from a file that nobody vouches for."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir import external_data

from edgekit import native
from edgekit.errors import EdgekitError, ModelError
from edgekit.graph import examine
from edgekit.graph.model import Model
from edgekit.graph.room import Room, copy_into
from edgekit.graph.surgery import name_nodes

TIMEOUT_S = 20.0
"""For each part of the examination of a small model; large ones get a second more per 50 MB."""

MEMORY_BYTES = 384 << 20
"""For the examination, above three times the size of the file."""

_S_PER_BYTE = 2e-8
_LARGEST_BYTES = (2 << 30) - 1


def load(
    path: str | os.PathLike[str],
    *,
    follow_links: bool = False,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Model:
    """Return the model in an ONNX file after examining it in a limited child process.

    Weights in external files are mapped, not read.

    Args:
        path: the file; external data lies in its folder or below.
        follow_links: accept external data through symbolic or hard links.
        shapes: concrete input shapes for the trial run; without one, dynamic axes are guessed.

    Raises:
        ModelError: the file is missing, no ONNX model, malformed, reaches outside its folder, or
            crashes, hangs or bloats the checker or the runtime.
    """
    file = Path(path)
    size_bytes = _size_of(file)
    try:
        found = native.call(
            "reading",
            examine.read,
            file.absolute(),
            follow_links,
            timeout_s=TIMEOUT_S + size_bytes * _S_PER_BYTE,
            memory_bytes=MEMORY_BYTES + 3 * size_bytes,
        )
        if not found.external:
            _try_out(file.absolute(), size_bytes, shapes)
            return _deserialize(file, file.name, found.sha256)
        return _load_copies(file, found, shapes, follow_links=follow_links)
    except EdgekitError as error:
        where = f"{file.name}: {error.where}" if error.where else file.name
        raise type(error)(
            error.what,
            where=where,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None


def reopen(path: Path, *, name: str) -> Model:
    """Return the model in a file that edgekit itself has just written; nothing is examined."""
    model = ir.load(path)
    name_nodes(model)
    return Model(ir=model, name=name)


def _size_of(file: Path) -> int:
    try:
        state = file.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError("cannot be read", where=str(file), found=reason) from None
    if stat.S_ISDIR(state.st_mode):
        raise ModelError("is a folder", where=str(file), expected="an ONNX file")
    if not stat.S_ISREG(state.st_mode):
        raise ModelError("is no regular file", where=str(file), expected="an ONNX file")
    if state.st_size == 0:
        raise ModelError("is empty", where=str(file), expected="an ONNX file")
    if state.st_size > _LARGEST_BYTES:
        raise ModelError(
            "is larger than a protobuf can be",
            where=str(file),
            found=f"{state.st_size} bytes",
            expected="at most 2 GiB",
            remedy="export the weights as external data",
        )
    return state.st_size


def _load_copies(
    file: Path,
    found: examine.Read,
    shapes: dict[str, tuple[int, ...]] | None,
    *,
    follow_links: bool,
) -> Model:
    """Load from a private folder, so that the libraries see exactly what was verified."""
    room = Room()
    try:
        for data in found.external:
            copy_into(room.path, data, follow_links=follow_links)
        copy = room.path / f"{found.sha256}.onnx"
        copy.write_bytes(file.read_bytes())
        size_bytes = copy.stat().st_size + sum(data.identity[2] for data in found.external)
        _try_out(copy, size_bytes, shapes)
        model = _deserialize(copy, file.name, found.sha256)
    except BaseException:
        room.close()
        raise
    room.keep()
    return model


def _try_out(file: Path, size_bytes: int, shapes: dict[str, tuple[int, ...]] | None) -> None:
    native.call(
        "trying out",
        examine.try_out,
        file,
        shapes or {},
        timeout_s=TIMEOUT_S + size_bytes * _S_PER_BYTE,
        memory_bytes=MEMORY_BYTES + 3 * size_bytes,
    )


def _deserialize(file: Path, name: str, sha256: str) -> Model:
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError("changed while it was being loaded")
    proto = examine.parse(data)
    del data
    try:
        model = ir.from_proto(proto)
    except (ir.serde.SerdeError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError("cannot be represented", found=reason) from None
    external_data.set_base_dir(model.graph, file.absolute().parent)
    _embed_attributes(model)
    name_nodes(model)
    return Model(ir=model, name=name)


def _embed_attributes(model: ir.Model) -> None:
    """Read external tensors that are attributes into memory: only weights stay outside."""
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute.value, ir.ExternalTensor):
                array = np.array(attribute.value.numpy())
                node.attributes[name] = ir.AttrTensor(name, ir.tensor(array))
