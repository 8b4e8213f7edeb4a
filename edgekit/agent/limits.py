"""What an agent process may use, and that it never outlives the one that started it."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
from typing import Optional

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def limit(memory_bytes: Optional[int], cpu_s: Optional[int]) -> None:
    """Limit address space and processor time of this process; None leaves one as it is."""
    if memory_bytes is not None:
        _lower(resource.RLIMIT_AS, memory_bytes)
    if cpu_s is not None:
        _lower(resource.RLIMIT_CPU, cpu_s)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, hard))
