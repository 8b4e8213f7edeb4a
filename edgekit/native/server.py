"""The warm child: imports the native libraries once, then forks a fresh process for each call.

Alone in its process and single-threaded, so forking is safe. It ends, and ends all its children,
when the host's end of the control socket closes, however the host died.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from typing import NoReturn

from edgekit.errors import EdgekitError
from edgekit.native import control, inside, limits, wire

_WARM = ("numpy", "onnx", "onnx.checker", "onnx.shape_inference", "onnx_ir", "onnxruntime")
_HOST_CHECK_S = 1.0


def main(descriptor: int) -> None:
    """Serve the host behind `descriptor` until it is gone."""
    host = os.getppid()
    connection = socket.socket(fileno=descriptor)
    for module in _WARM:
        importlib.import_module(module)
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    running: dict[int, tuple[int, int]] = {}
    try:
        while os.getppid() == host:
            ready, _, _ = select.select([descriptor, wake], [], [], _HOST_CHECK_S)
            if wake in ready:
                os.read(wake, 4096)
                _reap(running)
            if descriptor in ready:
                _obey(connection, running)
    except (EOFError, OSError):
        pass
    finally:
        for pid, _ in running.values():
            _kill(pid)


def _obey(connection: socket.socket, running: dict[int, tuple[int, int]]) -> None:
    kind, number, memory_bytes, cpu_s, module, descriptors = control.receive_order(connection)
    if kind == control.KILL:
        if number in running:
            _kill(running[number][0])
        return
    with contextlib.suppress(Exception):
        importlib.import_module(module)
    call, status, output = descriptors
    pid = os.fork()
    if pid == 0:
        others = [held for _, held in running.values()]
        for descriptor in (connection.detach(), status, *others):
            os.close(descriptor)
        _become(output)
        _run(socket.socket(fileno=call), memory_bytes, cpu_s)
    running[number] = (pid, status)
    os.close(call)
    os.close(output)
    os.write(status, control.STARTED)


def _reap(running: dict[int, tuple[int, int]]) -> None:
    for number, (pid, status) in list(running.items()):
        ended, code = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        _kill(pid)
        with contextlib.suppress(OSError):
            os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
        os.close(status)
        del running[number]


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


def _become(output: int) -> None:
    """Turn the fork into the leader of its own session with its outputs captured."""
    os.setsid()
    limits.die_with_parent()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _run(call: socket.socket, memory_bytes: int, cpu_s: int) -> NoReturn:
    try:
        _, setting = wire.receive(call)
        sys.path[:], folder = wire.decode_trusted(setting)
        os.chdir(folder)
        _, request = wire.receive(call)
        function, arguments = wire.decode_trusted(request)
        limits.restrict(memory_bytes, cpu_s)
        kinds = {"progress": wire.PROGRESS, "place": wire.PLACE}
        inside.connect(lambda kind, content: wire.send(call, kinds[kind], content))
        result = function(*arguments)
        wire.send(call, wire.RESULT, result)
    except EdgekitError as error:
        wire.send(call, wire.REFUSAL, error)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the host must hear of it
        traceback.print_exc()
        wire.send(call, wire.FAILURE, (type(error).__name__, str(error)))
    finally:
        os._exit(0)
