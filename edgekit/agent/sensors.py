"""What the device's sensors say, all read below /sys; what is not there is `unavailable`.

`EDGEKIT_SYSFS` names another folder in place of /sys. It is for tests: what is read from there is
called simulated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

UNAVAILABLE = "unavailable"
_VARIABLE = "EDGEKIT_SYSFS"
_TEGRA_GPUS = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b")


def sysfs() -> Path:
    """Return the folder that all sensors are read below."""
    return Path(os.environ.get(_VARIABLE) or "/sys")


def source() -> str:
    """Return where sensors are read: /sys, or `simulated` with the folder in its place."""
    return "simulated (%s)" % sysfs() if os.environ.get(_VARIABLE) else "/sys"


def text(file: Path) -> str:
    """Return what a small file says, without its end of line."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or UNAVAILABLE
    except OSError:
        return UNAVAILABLE


def number(file: Path) -> Any:
    """Return the whole number that a file holds, or `unavailable`."""
    try:
        return int(text(file))
    except ValueError:
        return UNAVAILABLE


def cpu_folders() -> List[Path]:
    """Return the folder of each CPU, by number."""
    found = (sysfs() / "devices/system/cpu").glob("cpu[0-9]*")
    return sorted(found, key=lambda folder: int(folder.name[3:]))


def governors() -> Any:
    """Return the frequency governor of each CPU."""
    found = [text(folder / "cpufreq/scaling_governor") for folder in cpu_folders()]
    return found if any(each != UNAVAILABLE for each in found) else UNAVAILABLE


def frequencies_hz(file: str = "scaling_cur_freq") -> Any:
    """Return the frequency of each CPU: now, or `scaling_max_freq`, `cpuinfo_max_freq`."""
    found = [number(folder / "cpufreq" / file) for folder in cpu_folders()]
    if all(each == UNAVAILABLE for each in found):
        return UNAVAILABLE
    return [each if each == UNAVAILABLE else each * 1000 for each in found]


def temperatures_c() -> Any:
    """Return the temperature of each thermal zone, by zone and type.

    A zone whose sensor sleeps (Jetson's unused ones refuse to be read) is left out.
    """
    found: Dict[str, float] = {}
    for zone in sorted((sysfs() / "class/thermal").glob("thermal_zone*")):
        milli = number(zone / "temp")
        if milli != UNAVAILABLE:
            found["%s %s" % (zone.name, text(zone / "type"))] = milli / 1000
    return found or UNAVAILABLE


def gpu() -> Any:
    """Return what the kernel tells of GPUs: frequency, load and memory, by device.

    Sources: devfreq and `load` (in thousandths) of a Jetson's integrated GPU, whose memory is the
    system's; `mem_info_vram_*` of the kernel's amdgpu driver. Unverified on hardware.
    """
    found: Dict[str, Dict[str, Any]] = {}
    for device in sorted((sysfs() / "class/devfreq").glob("*")):
        if any(name in device.name for name in _TEGRA_GPUS):
            said = {"frequency_hz": "cur_freq", "frequency_limit_hz": "max_freq"}
            found[device.name] = {key: number(device / file) for key, file in said.items()}
            load = number(device / "device/load")
            found[device.name]["load"] = load if load == UNAVAILABLE else load / 1000
    for card in sorted((sysfs() / "class/drm").glob("card[0-9]")):
        used = number(card / "device/mem_info_vram_used")
        if used != UNAVAILABLE:
            total = number(card / "device/mem_info_vram_total")
            found[card.name] = {"memory_used_bytes": used, "memory_total_bytes": total}
    return found or UNAVAILABLE
