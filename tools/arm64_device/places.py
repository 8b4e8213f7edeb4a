"""Where the machine is kept, and what goes wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"


class DeviceError(Exception):
    """Something that ends the command, as one line for the user.

    Args:
        message: what happened and what to do about it.
        code: exit code; 2 when something must be installed first.
    """

    def __init__(self, message: str, *, code: int = 4) -> None:
        self.code = code
        super().__init__(message)


def home() -> Path:
    """Return the folder of everything, made when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "edgekit" / "arm64-device"
    place.mkdir(parents=True, exist_ok=True)
    return place


def program(name: str) -> str:
    """Return the path of a program, also where the user's PATH leaves system folders out.

    Raises:
        DeviceError: it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise DeviceError(f"{name} is not installed", code=2)
    return found


def run(argv: Sequence[str | Path], *, doing: str, **options: Any) -> str:
    """Run a command and return its standard output.

    Args:
        argv: the command.
        doing: what it does, for the message.
        options: for `subprocess.run`.

    Raises:
        DeviceError: it failed; the message holds the end of its standard error.
    """
    finished = subprocess.run(
        [str(part) for part in argv], check=False, capture_output=True, text=True, **options
    )
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()]
        raise DeviceError(f"{doing}: {' / '.join(lines[-3:]) or finished.returncode}")
    return str(finished.stdout)


def say(line: str) -> None:
    """Tell the user what takes time now."""
    print(line, file=sys.stderr, flush=True)
