"""Orders from the host to the warm server: run a call, kill a call."""

from __future__ import annotations

import array
import os
import socket
import struct

_ORDER = struct.Struct("<BQQQ128s")
_DESCRIPTORS = 3

RUN, KILL = range(2)

STARTED = b"started\n"


def send_order(
    connection: socket.socket,
    kind: int,
    number: int,
    *,
    memory_bytes: int = 0,
    cpu_s: int = 0,
    module: str = "",
    descriptors: tuple[int, ...] = (),
) -> None:
    """Send one order; `descriptors` are (call socket, status pipe, output pipe) of a RUN."""
    name = module.encode() if len(module.encode()) <= 128 else b""  # noqa: PLR2004  # as packed
    order = _ORDER.pack(kind, number, memory_bytes, cpu_s, name)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    connection.sendmsg([order], rights if descriptors else [])


def receive_order(
    connection: socket.socket,
) -> tuple[int, int, int, int, str, tuple[int, ...]]:
    """Return (kind, number, memory_bytes, cpu_s, module, descriptors) of the next order.

    Raises:
        EOFError: the host is gone.
    """
    data, descriptors = b"", array.array("i")
    space = socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize)
    while len(data) < _ORDER.size:
        piece, ancillary, _, _ = connection.recvmsg(_ORDER.size - len(data), space)
        if not piece:
            raise EOFError
        data += piece
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    order, number, memory_bytes, cpu_s, module = _ORDER.unpack(data)
    return order, number, memory_bytes, cpu_s, module.rstrip(b"\0").decode(), tuple(descriptors)
