"""Resident memory of this process, read without polling.

The split uses resident size and not the proportional share (PSS): the four processes of a block
share the runtime's pages, so a share would depend on how many of them are alive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

_SELF = Path("/proc/self")


def reset_peak() -> bool:
    """Set the peak back to what is resident now; False where the system does not allow it."""
    try:
        (_SELF / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> Optional[int]:
    """Return the most that was resident since `reset_peak`; None where it cannot be read."""
    return _field(_SELF / "status", "VmHWM:")


def resident_bytes() -> Optional[int]:
    """Return what is resident now; None where it cannot be read."""
    return _field(_SELF / "smaps_rollup", "Rss:") or _field(_SELF / "status", "VmRSS:")


def _field(file: Path, key: str) -> Optional[int]:
    try:
        for line in file.read_text(encoding="ascii").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
