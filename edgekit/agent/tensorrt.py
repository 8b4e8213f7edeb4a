"""Which TensorRT a device has, asked of `trtexec`; unverified on hardware."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Optional

from .sensors import UNAVAILABLE

_JETPACK = "/usr/src/tensorrt/bin/trtexec"
_LOOK_S = 30.0
_SAYS_VERSION = re.compile(r"\[TensorRT v(\d+)\]")


def trtexec_path() -> Optional[str]:
    """Return where trtexec lies, on PATH or as JetPack's; None without one."""
    return shutil.which("trtexec") or shutil.which(_JETPACK)


def version() -> str:
    """Return TensorRT's version as trtexec tells it; `unavailable` without one.

    It writes 8.6.1 as v8601 and 10.3.0 as v100300.
    """
    path = trtexec_path()
    if path is None:
        return UNAVAILABLE
    try:
        ended = subprocess.run(
            [path, "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LOOK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNAVAILABLE
    told = _SAYS_VERSION.search(ended.stdout.decode("utf-8", "replace"))
    if told is None:
        return UNAVAILABLE
    number = int(told.group(1))
    major = 10_000 if number >= 100_000 else 1_000  # noqa: PLR2004  # six digits from TensorRT 10 on
    return "%d.%d.%d" % (number // major, number % major // 100, number % 100)
