"""Whether the device slows itself down: heat, current, or a limit on its frequency.

Three kinds of sign. Counters never miss an event: they are read before and after. Levels (a
cooling device that is active) and limits are only seen when looked at; where the kernel counts the
changes of a cooling device (`stats/total_trans`), that is a counter, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from .sensors import UNAVAILABLE, cpu_folders, number, sysfs, text

_SLOWING = ("cpu", "gpu", "processor", "devfreq", "throttle", "powerclamp", "hot-surface")
_PI_FLAGS = "devices/platform/soc/soc:firmware/get_throttled"
_PI_NOW = {0x2: "frequency capped", 0x4: "throttled", 0x8: "soft temperature limit"}


def throttling() -> Any:
    """Return the signs as they stand: `counts`, `active` levels, `limit_hz`; or `unavailable`.

    Sources: x86 thermal interrupt counters, Jetson's over-current counters (`oc*_event_cnt`),
    cooling devices that slow a processor, cpufreq's limit, the Raspberry Pi firmware's flags.
    """
    found = _Signs()
    said = {"counts": found.counts(), "active": found.active(), "limit_hz": found.limits_hz()}
    known = any(said.values()) or found.cooling
    return said if known else UNAVAILABLE


class Throttling:
    """Watches from its making on; `reasons` says what was seen."""

    def __init__(self) -> None:
        self._signs = _Signs()
        self._counts, self._limits_hz = self._signs.counts(), self._signs.limits_hz()
        self._active: Dict[str, int] = {}
        self._fallen: Dict[str, int] = {}
        self.look()

    def look(self) -> None:
        """Take note of levels and limits just now."""
        for name, level in self._signs.active().items():
            self._active[name] = max(level, self._active.get(name, 0))
        for name, limit_hz in self._signs.limits_hz().items():
            if limit_hz < self._limits_hz.get(name, limit_hz):
                self._fallen[name] = min(limit_hz, self._fallen.get(name, limit_hz))

    @property
    def reasons(self) -> List[str]:
        """What slowed the device down since the start; empty when nothing did."""
        counts = self._signs.counts()
        grown = {name: count - self._counts.get(name, 0) for name, count in counts.items()}
        return (
            ["%s grew by %d" % (name, by) for name, by in grown.items() if by > 0]
            + ["%s at level %d" % (name, level) for name, level in self._active.items()]
            + [
                "limit of %s fell from %.2f to %.2f GHz"
                % (name, self._limits_hz[name] / 1e9, limit_hz / 1e9)
                for name, limit_hz in self._fallen.items()
            ]
        )


class _Signs:
    """Where this device tells; found once, since the files stay the same."""

    def __init__(self) -> None:
        root, cpus = sysfs(), cpu_folders()
        counters: List[Path] = []
        for cpu in cpus:
            counters += sorted((cpu / "thermal_throttle").glob("*_throttle_count"))
        self._counters = {"%s of %s" % (f.name, f.parent.parent.name): f for f in counters}
        for file in sorted((root / "class/hwmon").glob("hwmon*/oc*_event_cnt")):
            self._counters["%s of %s" % (file.name, file.parent.name)] = file
        self.cooling = {
            "%s %s" % (folder.name, text(folder / "type")): folder
            for folder in sorted((root / "class/thermal").glob("cooling_device*"))
            if any(word in text(folder / "type").lower() for word in _SLOWING)
        }
        for name, folder in self.cooling.items():
            self._counters["changes of " + name] = folder / "stats/total_trans"
        self._limits = {cpu.name: cpu / "cpufreq/scaling_max_freq" for cpu in cpus}
        self._pi = root / _PI_FLAGS

    def counts(self) -> Dict[str, int]:
        """Return every counter that can be read."""
        return _known({name: number(file) for name, file in self._counters.items()})

    def active(self) -> Dict[str, int]:
        """Return the levels of cooling devices that are at work."""
        levels = {name: number(folder / "cur_state") for name, folder in self.cooling.items()}
        found = {name: level for name, level in _known(levels).items() if level > 0}
        try:
            flags = int(text(self._pi), 16)
        except ValueError:
            return found
        for bit, meaning in _PI_NOW.items():
            if flags & bit:
                found["firmware: " + meaning] = 1
        return found

    def limits_hz(self) -> Dict[str, int]:
        """Return the highest frequency that each CPU is allowed."""
        found = _known({name: number(file) for name, file in self._limits.items()})
        return {name: limit * 1000 for name, limit in found.items()}


def _known(found: Dict[str, Any]) -> Dict[str, int]:
    return {name: value for name, value in found.items() if value != UNAVAILABLE}
