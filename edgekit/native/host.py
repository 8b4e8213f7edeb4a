"""The host's side of the door: start the warm server, make calls, turn every end into an error."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from edgekit.errors import InfrastructureError
from edgekit.native import control, limits, wire
from edgekit.native.ending import Ending
from edgekit.native.warm import WARM

T = TypeVar("T")

_START_S = 120.0
_GRACE_S = 2.0
_NOISE_BYTES = 8192


def call(
    step: str,
    function: Callable[..., T],
    /,
    *args: object,
    timeout_s: float = 120.0,
    memory_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    place: Callable[[str], None] | None = None,
) -> T:
    """Return `function(*args)`, run in a fresh child process that cannot take this one down.

    The child is forked from a warm one (onnx, onnx_ir, onnxruntime and numpy are imported), so
    a call costs some 10 ms. It has a limit on memory, time and file size; nothing of it is left
    when the call returns, fails or is interrupted. Calls may be made from several threads.

    Args:
        step: what is being done, in a few words; opens every error message.
        function: importable by its name; arguments and result are pickled. The result may hold
            plain values, numpy arrays, paths and edgekit's data classes, nothing else.
        *args: passed on.
        timeout_s: wall time; `EDGEKIT_TIMEOUT` (seconds) overrides it.
        memory_bytes: above what the warm child holds and the arguments take; default
            `limits.MEMORY_BYTES`; `EDGEKIT_MEMORY_LIMIT` (e.g. `8GiB`) overrides it. A file that
            is mapped for reading does not count.
        progress: called with what the function reports through `native.report(done, total)`.
        place: called with what the function says through `native.at`.

    Raises:
        EdgekitError: what the function raised itself.
        ModelError: any other exception, a signal, the time-out or the memory limit.
    """
    end = Ending(
        step=step,
        timeout_s=limits.time_limit(timeout_s),
        memory_bytes=limits.memory_limit(memory_bytes),
    )
    request = [
        *wire.encode(wire.SETTING, (sys.path, os.getcwd())),  # noqa: PTH109  # a string is sent
        *wire.encode(wire.REQUEST, (function, args)),
    ]
    here, there = socket.socketpair()
    status, status_writer = os.pipe()
    noise, noise_writer = os.pipe()
    line = _Line(call=here, status=status, noise=noise)
    number = None
    try:
        try:
            number = WARM.run(
                memory_bytes=end.memory_bytes + sum(part.nbytes for part in request),
                cpu_s=int(end.timeout_s * (os.cpu_count() or 1)) + 10,
                module=function.__module__ or "",
                descriptors=(there.fileno(), status_writer, noise_writer),
            )
        finally:
            there.close()
            os.close(status_writer)
            os.close(noise_writer)
        _await_start(step, status)
        _converse(line, request, end, _Listener(progress=progress, place=place))
    finally:
        if number is not None and end.code is None:
            WARM.kill(number)
            select.select([status], [], [], _GRACE_S)
        line.close()
    return end.outcome()  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The host's ends: frames both ways, the server's word on the child, the child's noise."""

    call: socket.socket
    status: int
    noise: int

    def close(self) -> None:
        self.call.close()
        os.close(self.status)
        os.close(self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """Who is told while the child works."""

    progress: Callable[[int, int], None] | None
    place: Callable[[str], None] | None


def _await_start(step: str, status: int) -> None:
    ready, _, _ = select.select([status], [], [], _START_S)
    if not ready or not os.read(status, len(control.STARTED)):
        raise InfrastructureError(
            "the process for native code does not start",
            where=step,
            found=WARM.last_words() or "no message",
            remedy="run `edgekit doctor`",
        )


def _converse(
    line: _Line,
    request: list[memoryview],
    end: Ending,
    listener: _Listener,
) -> None:
    """Send the request and gather into `end` what comes back, until the child has ended."""
    deadline = time.monotonic() + end.timeout_s
    line.call.settimeout(end.timeout_s)
    with contextlib.suppress(ConnectionError, TimeoutError):
        for part in request:
            line.call.sendall(part)
    with selectors.DefaultSelector() as selector:
        for source, take in (
            (line.call, lambda: _take_message(line.call, end, listener)),
            (line.status, lambda: _take_status(line.status, end)),
            (line.noise, lambda: _take_noise(line.noise, end)),
        ):
            selector.register(source, selectors.EVENT_READ, take)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                end.timed_out = True
                return
            for key, _ in selector.select(left):
                line.call.settimeout(max(deadline - time.monotonic(), 0.001))
                if not key.data():
                    selector.unregister(key.fileobj)


def _take_message(call_socket: socket.socket, end: Ending, listener: _Listener) -> bool:
    """Hear one message; False when there will be no more (as the other two)."""
    try:
        kind, parts = wire.receive(call_socket)
    except (EOFError, ConnectionError, TimeoutError):
        return False
    try:
        content = wire.decode(parts)
    except pickle.UnpicklingError as error:
        kind, content = wire.FAILURE, (type(error).__name__, str(error))
    if kind != wire.PROGRESS:
        end.hear(kind, content)
    elif listener.progress is not None:
        listener.progress(*content)
    if kind == wire.PLACE and listener.place is not None:
        listener.place(*content)
    return True


def _take_status(status: int, end: Ending) -> bool:
    data = os.read(status, 64)
    if data:
        end.code = int(data)
    return bool(data)


def _take_noise(noise: int, end: Ending) -> bool:
    data = os.read(noise, 1 << 16)
    end.noise = (end.noise + data)[-_NOISE_BYTES:]
    return bool(data)
