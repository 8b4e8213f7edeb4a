"""Seeing whether a device slowed down, or others used its processors, while it was timed."""

from __future__ import annotations

import os
import time
from typing import List, Optional, Sequence

from .state import busy_s, used_s
from .throttling import Throttling

_OTHERS_SHARE = 0.25


class Watch:
    """Watches from its making on; `look` between slices, never inside one."""

    def __init__(self, cpus: Optional[Sequence[int]], pids: Sequence[int]) -> None:
        self._cpus, self._pids = cpus, pids
        self._start, self._others_s = time.monotonic(), self._others()
        self._throttling = Throttling()

    def look(self) -> None:
        """See whether the device is slowed down just now."""
        self._throttling.look()

    def disturbances(self) -> List[str]:
        """Return why the time since the start is not to be trusted; empty when it is."""
        self.look()
        found = ["throttled: %s" % reason for reason in self._throttling.reasons]
        others_s = self._others()
        if others_s is not None and self._others_s is not None:
            number = len(self._cpus) if self._cpus else os.cpu_count() or 1
            available_s = (time.monotonic() - self._start) * number
            share = (others_s - self._others_s) / available_s
            if share > _OTHERS_SHARE:
                found.append("busy: others took %.0f%% of the processors" % (100 * share))
        return found

    def _others(self) -> Optional[float]:
        busy, used = busy_s(self._cpus), used_s(self._pids)
        return None if busy is None or used is None else busy - used
