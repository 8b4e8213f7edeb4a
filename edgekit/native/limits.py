"""What a child may use: defaults, the user's overrides, and how the kernel enforces them."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
from pathlib import Path

from edgekit.errors import UsageError

MEMORY_BYTES = 2 << 30
"""Default memory of a call, above what the warm child holds and its arguments take."""

FILE_BYTES = 64 << 30
"""Largest file that a call may write."""

MEMORY_VARIABLE = "EDGEKIT_MEMORY_LIMIT"
TIMEOUT_VARIABLE = "EDGEKIT_TIMEOUT"

_UNITS = {"": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1 << 10, "MIB": 1 << 20}
_UNITS |= {"GIB": 1 << 30, "TIB": 1 << 40}
_PR_SET_PDEATHSIG = 1


def memory_limit(memory_bytes: int | None) -> int:
    """Return the bytes a call may use: the user's override, else the caller's, else the default.

    Raises:
        UsageError: the environment variable is no size.
    """
    text = os.environ.get(MEMORY_VARIABLE, "").strip()
    if not text:
        return MEMORY_BYTES if memory_bytes is None else memory_bytes
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text)
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(
            "is no size", where=MEMORY_VARIABLE, found=repr(text), expected="e.g. 8GiB"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def time_limit(timeout_s: float) -> float:
    """Return the seconds a call may take: the user's override, else the caller's.

    Raises:
        UsageError: the environment variable is no number of seconds.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    if not text:
        return timeout_s
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*s?", text)
    if match is None or float(match[1]) == 0:
        raise UsageError(
            "is no time", where=TIMEOUT_VARIABLE, found=repr(text), expected="seconds, e.g. 300"
        )
    return float(match[1])


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that forked it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def restrict(memory_bytes: int, cpu_s: int) -> None:
    """Limit this process: memory above what it holds now, processor time, files, core dumps.

    Memory is limited as private writable pages (RLIMIT_DATA), so a file mapped for reading is
    free: weights of more than 2 GB may be mapped, not copied.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    _lower(resource.RLIMIT_CPU, cpu_s)
    status = Path("/proc/self/status")
    if status.exists():
        held = re.search(r"VmData:\s+(\d+) kB", status.read_text())
        _lower(resource.RLIMIT_DATA, memory_bytes + (int(held[1]) << 10 if held else 0))


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, hard))
