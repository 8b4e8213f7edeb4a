"""What this machine can do, and how to mend what it cannot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from edgekit import native, tflite
from edgekit import target as targets
from edgekit.errors import EdgekitError, MissingExtraError

Level = Literal["ok", "note", "problem"]
_EXTRAS = {"train": ("torch", "accelerate"), "litert": ("ai_edge_litert",), "report": ("altair",)}
_MIN_FREE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at.

    Attributes:
        level: `ok`, `note` (works, could be better) or `problem` (something will fail).
        remedy: what to do about it; empty for `ok`.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""


def examine() -> tuple[Finding, ...]:
    """Look at everything that edgekit stands on; never raises for a poor machine."""
    return tuple(finding for check in _CHECKS for finding in check())


def _python() -> list[Finding]:
    return [
        Finding(level="ok", subject="python", found=f"{platform.python_version()} {sys.platform}")
    ]


def _onnxruntime() -> list[Finding]:
    names = sorted(
        {
            distribution.name
            for distribution in importlib.metadata.distributions()
            if (distribution.name or "").lower().startswith(("onnxruntime", "ort-nightly"))
            and distribution.name.lower() not in {"onnxruntime-extensions", "onnxruntime-tools"}
        }
    )
    if not names:
        return [
            Finding(
                level="problem",
                subject="onnxruntime",
                found="not installed",
                remedy="pip install onnxruntime",
            )
        ]
    if len(names) > 1:
        return [
            Finding(
                level="problem",
                subject="onnxruntime",
                found=f"{' and '.join(names)} together: they overwrite each other's files",
                remedy=f"pip uninstall -y {' '.join(names)} && pip install ONE_OF_THEM",
            )
        ]
    version = importlib.metadata.version(names[0])
    return [Finding(level="ok", subject="onnxruntime", found=f"{names[0]} {version}")]


def _door() -> list[Finding]:
    try:
        providers = native.call(
            "asking onnxruntime for its providers", providers_here, timeout_s=60
        )
    except EdgekitError as error:
        return [
            Finding(
                level="problem",
                subject="running models",
                found=str(error),
                remedy="reinstall onnxruntime, or raise the limits of this shell (ulimit -a)",
            )
        ]
    found = [Finding(level="ok", subject="providers", found=", ".join(providers))]
    for name in targets.names():
        target = targets.load(name)
        here = target.is_local(providers)
        found.append(
            Finding(
                level="ok" if here else "note",
                subject=f"target {name}",
                found="measured on this machine" if here else "not measured on this machine",
                remedy="" if here else "optimize writes a bundle; measure it on such a device",
            )
        )
    return found


def providers_here() -> tuple[str, ...]:
    """Return onnxruntime's execution providers; runs in the native child."""
    import onnxruntime  # noqa: PLC0415  # only the child loads it

    return tuple(onnxruntime.get_available_providers())


def _cpu() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [Finding(level="ok", subject="cpu", found=f"{_cpu_name()}, {cores} cores")]
    if platform.machine() in {"x86_64", "AMD64"}:
        flags = _cpu_flags()
        fast = bool(flags & {"avx512_vnni", "avx_vnni"})
        found.append(
            Finding(
                level="ok" if fast else "note",
                subject="int8 kernels",
                found="VNNI" if fast else "no VNNI",
                remedy="" if fast else "int8 gains little here and u8s8 may saturate",
            )
        )
    governor = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    steady = governor in {None, "performance"}
    found.append(
        Finding(
            level="ok" if steady else "note",
            subject="governor",
            found=governor or "unavailable",
            remedy="" if steady else "latencies are steadier with 'performance'",
        )
    )
    load = os.getloadavg()[0]
    busy = load > (cores or 1) / 2
    found.append(
        Finding(
            level="note" if busy else "ok",
            subject="load",
            found=f"{load:.2f}",
            remedy="other work disturbs measurements; wait for it to end" if busy else "",
        )
    )
    return found


def _cpu_name() -> str:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _space() -> list[Finding]:
    memory = psutil.virtual_memory().available
    folder = tempfile.gettempdir()
    disk = shutil.disk_usage(folder).free
    return [
        Finding(
            level="ok" if memory > _MIN_FREE_BYTES else "problem",
            subject="free memory",
            found=f"{memory / 2**30:.1f} GiB",
            remedy="" if memory > _MIN_FREE_BYTES else "free some: 2 GiB are wanted",
        ),
        Finding(
            level="ok" if disk > _MIN_FREE_BYTES else "problem",
            subject=f"free disk in {folder}",
            found=f"{disk / 2**30:.1f} GiB",
            remedy="" if disk > _MIN_FREE_BYTES else "free some, or set TMPDIR to another disk",
        ),
    ]


def _extras() -> list[Finding]:
    found = []
    for extra, modules in _EXTRAS.items():
        there = all(importlib.util.find_spec(module) is not None for module in modules)
        found.append(
            Finding(
                level="ok" if there else "note",
                subject=f"extra {extra}",
                found="installed" if there else "not installed",
                remedy="" if there else f"pip install 'edgekit-sdk[{extra}]'",
            )
        )
    return found


def _converter() -> list[Finding]:
    subject = "TFLite converter"
    try:
        found = tflite.converter_version()
    except MissingExtraError:
        return [
            Finding(
                level="note",
                subject=subject,
                found=f"{tflite.ENVIRONMENT} is not set",
                remedy=f"--format tflite needs it: {tflite.RECIPE}",
            )
        ]
    except EdgekitError as error:
        remedy = f"make it anew: {tflite.RECIPE}"
        return [Finding(level="problem", subject=subject, found=str(error), remedy=remedy)]
    return [Finding(level="ok", subject=subject, found=found)]


_CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _python,
    _onnxruntime,
    _door,
    _cpu,
    _space,
    _extras,
    _converter,
)
