"""Puts the agent into a device's cache and becomes it: the first thing that runs over there.

The host sends this file as text, with a last line that calls `start`; before it runs, a line of
its own has seen that Python is new enough. It stands alone: the agent is not there yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Dict

_PATIENCE_S = 120


def start(sha256: str, size_bytes: int) -> None:
    """Read the agent from standard input unless it is there already, and run it as `serve`."""
    signal.alarm(_PATIENCE_S)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"
    agent = cache / "files" / sha256
    try:
        agent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        missing = not _is_there(agent, sha256)
        _say({"send": missing})
        if missing:
            _write(agent, _received(size_bytes), sha256)
        os.utime(str(agent))
    except OSError as error:
        _say({"failed": "%s: %s" % (error.filename or cache, error.strerror or error)})
        return
    with contextlib.suppress(OSError):  # it leads a session already
        os.setsid()
    os.execv(sys.executable, [sys.executable, str(agent), "serve", str(cache)])  # noqa: S606  # no shell is wanted


def _is_there(agent: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(agent.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _received(size_bytes: int) -> bytes:
    """Read just that much: what follows is for the agent."""
    content = b""
    while len(content) < size_bytes:
        chunk = os.read(0, size_bytes - len(content))
        if not chunk:
            raise OSError("the connection closed")
        content += chunk
    return content


def _write(agent: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise OSError("the agent arrived damaged")
    part = agent.with_suffix(".%d" % os.getpid())
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(agent)
    except OSError:
        part.unlink()
        raise


def _say(answer: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
