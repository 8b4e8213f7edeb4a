"""What an agent process may use, and that it never outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Sequence

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def keep_to_memory(providers: Sequence[str]) -> None:
    """Limit the address space to the memory that the device has.

    Only where all computing is the processor's: what drives a GPU reserves addresses far beyond
    any memory.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if list(providers) == ["CPUExecutionProvider"]:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = physical if hard == resource.RLIM_INFINITY else min(physical, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def expect_within(seconds: int) -> None:
    """Have the kernel end this process by SIGALRM unless it is told again within `seconds`.

    It ends even what never returns from native code.
    """
    signal.alarm(seconds)
