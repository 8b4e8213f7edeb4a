"""Messages between host and child: framed pickles, read back through an allow-list."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import importlib
import io
import pickle
import socket
import struct
from typing import Any

from edgekit.errors import EdgekitError

_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<Q")
_CHUNK_BYTES = 1 << 20

SETTING, REQUEST, PROGRESS, PLACE, RESULT, REFUSAL, FAILURE = range(7)

_ALLOWED = {
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"Counter", "OrderedDict"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePath", "PurePosixPath"},
    "numpy": {"dtype", "ndarray", "bool_"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "edgekit.errors": {"_rebuild"},
}


def encode(kind: int, value: object) -> list[memoryview]:
    """Return the frame of `value` as pieces to be written in order; arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    lengths = b"".join(_LENGTH.pack(part.nbytes) for part in parts)
    return [memoryview(_HEADER.pack(kind, len(parts)) + lengths), *parts]


def send(connection: socket.socket, kind: int, value: object) -> None:
    """Write one frame; blocks as the socket's own time-out says."""
    for part in encode(kind, value):
        connection.sendall(part)


def receive(connection: socket.socket) -> tuple[int, list[bytearray]]:
    """Read one frame and return its kind and its parts.

    Raises:
        EOFError: the other side closed the connection, perhaps in the middle.
    """
    kind, count = _HEADER.unpack(_read(connection, _HEADER.size))
    lengths = [_LENGTH.unpack(_read(connection, _LENGTH.size))[0] for _ in range(count)]
    return kind, [_read(connection, length) for length in lengths]


def decode_trusted(parts: list[bytearray]) -> Any:
    """Unpickle what the host sent to its own child."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301  # the host is our own process


def decode(parts: list[bytearray]) -> Any:
    """Unpickle what a child sent: plain values, numpy arrays, paths, edgekit's data classes.

    Raises:
        pickle.UnpicklingError: the message names anything else.
    """
    return _AllowList(io.BytesIO(parts[0]), buffers=parts[1:]).load()


class _AllowList(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module, ()) or (
            module == "numpy.dtypes" and name.endswith("DType")
        ):
            return super().find_class(module, name)
        if module.split(".", maxsplit=1)[0] == "edgekit" and "." not in name:
            found = None
            with contextlib.suppress(ImportError):
                found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, type) and (
                dataclasses.is_dataclass(found) or issubclass(found, EdgekitError | enum.Enum)
            ):
                return found
        raise pickle.UnpicklingError(f"a native child sent {module}.{name}")


def _read(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    filled = 0
    while filled < size:
        count = connection.recv_into(view[filled:], min(_CHUNK_BYTES, size - filled))
        if count == 0:
            raise EOFError
        filled += count
    return data
