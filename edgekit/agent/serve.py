"""Mode `serve`: the agent's life at the end of a connection.

A host that reaches this device over a network starts it once a connection. Commands come and
answers go as JSON lines. What runs here is a child of this process and ends with it, and this
process ends when the channel closes or the host falls silent (`lease`): nothing keeps running, and
the device's lock, which this process holds, is free again.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, Optional

from .child import Child
from .lease import LapsedError, Lease
from .lock import DeviceLock
from .store import Store
from .wire import AgentError, standard_channel

_AGAIN_S = 0.25
_TELL_S = 10.0


def serve(cache: str) -> int:
    """Carry out commands until the host closes; 0 when it did so in order.

    Commands: `open` (first of all), `missing`, `keep`, `link`, `folder`, `run`, `close`, `beat`.
    Whatever goes wrong is answered with `failed`.
    """
    server = _Server(Path(cache))
    try:
        server.work()
    except (LapsedError, BrokenPipeError):
        return 1
    return 0


class _Server:
    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._send = standard_channel().send
        self._lease = Lease(0, self._send)
        self._lock: Optional[DeviceLock] = None
        self._store: Optional[Store] = None

    def work(self) -> None:
        while True:
            command = self._lease.command()
            if command is None:
                continue
            if command["do"] == "close":
                break
            try:
                if not self._carry_out(command):
                    break
            except AgentError as error:
                self._send({"failed": str(error)})
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                place = error.filename or self._cache
                self._send({"failed": "%s: %s" % (place, error.strerror or error)})
        if self._store is not None:
            self._store.remove_folder()

    def _carry_out(self, command: Dict[str, Any]) -> bool:
        do = command["do"]
        if do == "open":
            return self._open(command)
        if self._store is None:
            raise AgentError("spec", "%s before open" % do)
        self._store.touch()
        if do == "missing":
            self._send({"offer": self._store.missing(command["files"])})
        elif do == "keep":
            self._send({"kept": self._store.keep(command["sha256"])})
        elif do == "link":
            self._store.link(command["name"], command["files"])
            self._send({"linked": True})
        elif do == "folder":
            folder = self._store.folder / command["name"]
            folder.mkdir(exist_ok=True)
            self._send({"path": str(folder)})
        elif do == "run":
            child = Child(command, self._store.folder, self._send)
            return child.run(self._lease, self._store.touch)
        else:
            raise AgentError("spec", "unknown command %r" % do)
        return True

    def _open(self, command: Dict[str, Any]) -> bool:
        """Take the lock, waiting for it as long as the host wants; False when it was closed."""
        self._lock = DeviceLock()
        held_by: Optional[str] = None
        if command["exclusive"]:
            until, told = time.monotonic() + command["wait_s"], 0.0
            held_by = self._lock.take(command["holder"])
            while held_by is not None:
                now = time.monotonic()
                if now >= until:
                    self._send({"busy": held_by})
                    return True
                if now - told > _TELL_S:
                    told = now
                    self._send({"waiting": held_by})
                other = self._lease.command(_AGAIN_S)
                if other is not None and other["do"] == "close":
                    return False
                held_by = self._lock.take(command["holder"])
        else:
            held_by = self._lock.holder()
        self._store = Store(self._cache, command["job"], self._lease.attend)
        if command["exclusive"]:
            with contextlib.suppress(OSError):
                self._store.tidy()
        status = os.statvfs(str(self._cache))
        self._send(
            {
                "folder": str(self._store.folder),
                "held_by": held_by,
                "boot_id": _boot_id(),
                "cache": str(self._cache),
                "free_bytes": status.f_bavail * status.f_frsize,
            }
        )
        return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unavailable"
