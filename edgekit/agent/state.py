"""What the device is and how it is just now; what cannot be read is `unavailable`, never 0."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import power, sensors, tensorrt
from .sensors import UNAVAILABLE, number, sysfs, text
from .throttling import throttling

_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def environment() -> Dict[str, Any]:
    """Return what does not change between two runs: hardware, kernel, versions, boot."""
    info = _cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    model = info.get("model name") or text(sysfs() / "firmware/devicetree/base/model")
    return {
        "machine": platform.machine(),
        "cpu": model,
        "cpu_flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "cpus": os.cpu_count() or UNAVAILABLE,
        "kernel": platform.release(),
        "system": platform.system(),
        "memory_total_bytes": _memory("MemTotal:"),
        "boot_id": text(Path("/proc/sys/kernel/random/boot_id")),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "onnxruntime": _version("onnxruntime"),
        "providers": _providers(),
        "litert": _litert(),
        "trtexec": tensorrt.version(),
        "sensors": sensors.source(),
        "power_sensor": power.named(),
    }


def state() -> Dict[str, Any]:
    """Return what may change from run to run: frequencies, heat, throttling, load."""
    return {
        "governor": sensors.governors(),
        "frequency_hz": sensors.frequencies_hz(),
        "frequency_limit_hz": sensors.frequencies_hz("scaling_max_freq"),
        "frequency_top_hz": sensors.frequencies_hz("cpuinfo_max_freq"),
        "temperature_c": sensors.temperatures_c(),
        "throttling": throttling(),
        "gpu": sensors.gpu(),
        "load_average": _load_average(),
        "context_switches": _stat_number("ctxt"),
        "memory_available_bytes": _memory("MemAvailable:"),
    }


def busy_s(cpus: Optional[Sequence[int]]) -> Optional[float]:
    """Return the seconds that `cpus` (None: all) have worked or were stolen since the boot."""
    rows = _cpu_rows()
    names = ["cpu"] if cpus is None else ["cpu%d" % cpu for cpu in cpus]
    if not all(name in rows for name in names):
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted within user
    working = [sum(rows[name][:3]) + sum(rows[name][5:8]) for name in names]
    return float(sum(working)) / os.sysconf("SC_CLK_TCK")


def used_s(pids: Sequence[int]) -> Optional[float]:
    """Return the processor seconds that the processes `pids` have used; None if one is gone."""
    ticks = 0
    for pid in pids:
        fields = text(Path("/proc/%d/stat" % pid)).rpartition(")")[2].split()
        if len(fields) < 13:  # noqa: PLR2004  # utime and stime are the 12th and 13th after the name
            return None
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def choose_cpus(threads: int) -> Optional[List[int]]:
    """Return the CPUs that processes with `threads` threads are pinned to, or None for any.

    The fastest ones that this process may use, of those the last: the first serves interrupts.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return None
    return sorted(sorted(allowed, key=lambda cpu: (_top_speed(cpu), cpu))[-threads:])


def _top_speed(cpu: int) -> int:
    found = number(sysfs() / "devices/system/cpu" / ("cpu%d" % cpu) / "cpufreq/cpuinfo_max_freq")
    return 0 if found == UNAVAILABLE else int(found)


def _cpu_info() -> Dict[str, str]:
    pairs = (line.partition(":") for line in text(Path("/proc/cpuinfo")).splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _load_average() -> Any:
    try:
        return list(os.getloadavg())
    except OSError:
        return UNAVAILABLE


def _stat_number(key: str) -> Any:
    for line in text(Path("/proc/stat")).splitlines():
        if line.startswith(key + " "):
            return int(line.split()[1])
    return UNAVAILABLE


def _cpu_rows() -> Dict[str, Tuple[int, ...]]:
    lines = (line.split() for line in text(Path("/proc/stat")).splitlines())
    return {row[0]: tuple(map(int, row[1:])) for row in lines if row[0].startswith("cpu")}


def _memory(key: str) -> Any:
    for line in text(Path("/proc/meminfo")).splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return UNAVAILABLE


def _version(module: str) -> str:
    try:
        return str(__import__(module).__version__)
    except Exception:  # noqa: BLE001  # a broken installation fails in its own way
        return UNAVAILABLE


def _litert() -> str:
    for module in ("ai_edge_litert", "tflite_runtime"):
        version = _version(module)
        if version != UNAVAILABLE:
            return version
    return UNAVAILABLE


def _providers() -> Any:
    module = sys.modules.get("onnxruntime")
    return module.get_available_providers() if module is not None else UNAVAILABLE
