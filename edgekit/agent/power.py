"""Reading electric power: INA3221 rails on boards, RAPL counters on x86.

Sources: the kernel's hwmon interface (`in*_input` in mV, `curr*_input` in mA, `power*_input` in
uW, `update_interval` in ms) and its powercap interface (`energy_uj`, `max_energy_range_uj`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .sensors import UNAVAILABLE, number, sysfs, text

_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
_NO_RAIL = ("NC", "unavailable")
_ASSUMED_S = 0.02
_LEAST_S = 0.005


class Meter(NamedTuple):
    """Something that tells power or energy.

    `kind` is `watts` (read it often and integrate) or `joules` (a counter that starts again from
    zero at `wraps_j`). Of `parts` each is (what to read, what to multiply with it, scale).
    """

    name: str
    kind: str
    interval_s: float
    parts: Tuple[Tuple[Path, Optional[Path], float], ...]
    wraps_j: Tuple[float, ...] = ()

    def read(self) -> List[float]:
        """Return watts, or joules, of each part.

        Raises:
            ValueError: it does not answer any more.
        """
        return [
            _float(of) * (1.0 if times is None else _float(times)) * scale
            for of, times, scale in self.parts
        ]


def meter() -> Optional[Meter]:
    """Return what measures the most of this device; None where nothing does."""
    return _board() or _package()


def named() -> str:
    """Return what would measure power here, for people; `unavailable` without anything."""
    found = meter()
    if found is not None:
        return found.name
    counters = list((sysfs() / "class/powercap").glob("intel-rapl:?/energy_uj"))
    if counters and not os.access(str(counters[0]), os.R_OK):
        return "%s: RAPL may only be read by root" % UNAVAILABLE
    return UNAVAILABLE


def _board() -> Optional[Meter]:
    """The rail that feeds all of the board; else all rails of its monitors together."""
    rails: Dict[str, Tuple[Path, Optional[Path], float]] = {}
    interval_s = 0.0
    for monitor in sorted((sysfs() / "class/hwmon").glob("hwmon*")):
        if text(monitor / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            label = text(monitor / ("in%d_label" % channel))
            part = _rail(monitor, channel)
            if label not in _NO_RAIL and part is not None:
                rails[label] = part
        said = number(monitor / "update_interval")
        interval_s = max(interval_s, _ASSUMED_S if said == UNAVAILABLE else said / 1000)
    whole = [name for name in _WHOLE_BOARD if name in rails]
    names = whole[:1] or sorted(rails)
    if not names:
        return None
    parts = tuple(rails[name] for name in names)
    return Meter("INA3221 %s" % " + ".join(names), "watts", max(_LEAST_S, interval_s), parts)


def _rail(monitor: Path, channel: int) -> Optional[Tuple[Path, Optional[Path], float]]:
    power = monitor / ("power%d_input" % channel)
    volts, amperes = (monitor / (name % channel) for name in ("in%d_input", "curr%d_input"))
    if number(power) != UNAVAILABLE:
        return power, None, 1e-6
    if UNAVAILABLE in (number(volts), number(amperes)):
        return None
    return volts, amperes, 1e-6


def _package() -> Optional[Meter]:
    """All processor packages together; memory and cores are counted within or apart from them."""
    zones = [
        zone
        for zone in sorted((sysfs() / "class/powercap").glob("intel-rapl:*"))
        if text(zone / "name").startswith("package-") and number(zone / "energy_uj") != UNAVAILABLE
    ]
    if not zones:
        return None
    wraps = tuple(_or(number(zone / "max_energy_range_uj"), 2**32) * 1e-6 for zone in zones)
    parts = tuple((zone / "energy_uj", None, 1e-6) for zone in zones)
    name = "RAPL %s" % " + ".join(text(zone / "name") for zone in zones)
    return Meter(name, "joules", _LEAST_S, parts, wraps)


def _or(value: Any, otherwise: float) -> float:
    return otherwise if value == UNAVAILABLE else float(value)


def _float(file: Path) -> float:
    return float(text(file))
