"""External data: which files a model may name, and whether they hold what it says."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

_MEMORY_MARKER = "_ORT_MEM_ADDR_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a tensor's bytes lie: in the file at `location`, relative to the model's folder."""

    location: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A verified file of external data.

    Attributes:
        location: as the model names it, relative to its folder.
        identity: device, inode and size, to see whether it is still the same file.
    """

    location: str
    path: Path
    identity: tuple[int, int, int]


def span_of(tensor: onnx.TensorProto, where: str) -> Span:
    """Return where the bytes of an external tensor lie.

    Raises:
        ModelError: the entries are missing, doubled, unknown or no numbers.
    """
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in entries:
            raise ModelError("external data entry is doubled", where=where, found=repr(entry.key))
        entries[entry.key] = entry.value
    numbers: dict[str, int | None] = {"offset": 0, "length": None}
    for key in numbers:
        text = entries.get(key)
        if text is not None:
            if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004  # 64 bits
                raise ModelError(f"external data {key} is no count", where=where, found=repr(text))
            numbers[key] = int(text)
    if not entries.get("location"):
        raise ModelError("external data has no location", where=where)
    return Span(
        location=entries["location"], offset=numbers["offset"] or 0, length=numbers["length"]
    )


def resolve(model: Path, span: Span, *, where: str, follow_links: bool) -> DataFile:
    """Return the file that holds a tensor's bytes, after all checks but that of its extent.

    Args:
        model: the model file.
        span: what the model says.
        where: the tensor, for messages.
        follow_links: accept symbolic and hard links, for caches that consist of them.

    Raises:
        ModelError: the location is absolute, leaves the folder, is a link, the model or no regular
            file.
    """
    location = span.location
    shown = repr(location[:120])
    if _MEMORY_MARKER in location:
        raise ModelError("external data points into memory", where=where, found=shown)
    parts = PurePosixPath(location).parts
    if location.startswith(("/", "\\")) or "\\" in location or "\0" in location:
        raise ModelError("external data has an absolute or odd path", where=where, found=shown)
    if ".." in parts or not parts:
        raise ModelError("external data lies outside the model's folder", where=where, found=shown)
    path = model.parent
    for part in parts:
        path = path / part
        try:
            state = path.lstat()
        except (OSError, ValueError):
            raise ModelError("external data is missing", where=where, found=shown) from None
        if stat.S_ISLNK(state.st_mode) and not follow_links:
            raise ModelError(
                "external data is a symbolic link",
                where=where,
                found=shown,
                remedy="copy the file here, or allow links if you trust this folder",
            )
    state = path.stat()
    if path.samefile(model):
        raise ModelError("external data is the model itself", where=where, found=shown)
    if not stat.S_ISREG(state.st_mode):
        raise ModelError("external data is no regular file", where=where, found=shown)
    if state.st_nlink > 1 and not follow_links:
        raise ModelError(
            "external data has several hard links",
            where=where,
            found=shown,
            remedy="copy the file, or allow links if you trust this folder",
        )
    identity = (state.st_dev, state.st_ino, state.st_size)
    return DataFile(location=str(PurePosixPath(location)), path=path, identity=identity)


def check_extent(file: DataFile, span: Span, *, where: str, needed_bytes: int) -> None:
    """Check that the file holds the tensor's bytes where the model says.

    Raises:
        ModelError: the length is not what shape and type need, or the file ends before.
    """
    if span.length is not None and span.length != needed_bytes:
        raise ModelError(
            "external data has the wrong length",
            where=where,
            found=f"{span.length} bytes",
            expected=f"{needed_bytes} for its shape and type",
        )
    size = file.identity[2]
    if span.offset + needed_bytes > size:
        raise ModelError(
            "external data ends beyond its file",
            where=where,
            found=f"bytes {span.offset} to {span.offset + needed_bytes}",
            expected=f"at most {size}",
        )
