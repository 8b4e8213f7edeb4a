"""`edgekit.check_device`: what a device behind SSH can do, and how to mend what it cannot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edgekit import target as targets
from edgekit.devices import SshDevice, entry_of
from edgekit.doctor import Finding, Level
from edgekit.errors import InfrastructureError, printable
from edgekit.target import Target

_UNAVAILABLE = "unavailable"
_LEAST_DISK_BYTES, _LEAST_MEMORY_BYTES = 256 << 20, 256 << 20
_HOT_C = 75.0


def check_device(name: str, *, inventory: str | Path | None = None) -> tuple[Finding, ...]:
    """Look at everything that a measurement on the device `name` stands on.

    It neither waits for another job nor disturbs it for more than a second.

    Args:
        name: as in the inventory.
        inventory: the file; `EDGEKIT_INVENTORY` or the user's own by default.

    Raises:
        UsageError: unknown device, or a wrong inventory.
    """
    entry = entry_of(name, inventory)
    target = targets.load(entry.target)
    started = time.monotonic()
    try:
        with SshDevice(name, entry, exclusive=False) as device:
            connected_s = time.monotonic() - started
            seen, opened = device.look(), device.opened()
    except InfrastructureError as error:
        what = f"{error.what} ({error.found})" if error.found else error.what
        return (_finding("problem", "connection", what, error.remedy or "see its message"),)
    environment, state = seen["environment"], seen["state"]
    return (
        _finding("ok", "connection", f"{entry.address}, in {connected_s:.1f} s, host key pinned"),
        _lock(opened.get("held_by")),
        *_software(environment, target, entry.python),
        *_hardware(environment, target),
        _room("free memory", state.get("memory_available_bytes"), _LEAST_MEMORY_BYTES, ""),
        _room(
            "free disk",
            opened.get("free_bytes"),
            _LEAST_DISK_BYTES,
            f" in {opened.get('cache')}, or set XDG_CACHE_HOME there",
        ),
        *_steadiness(state),
        _sensor(environment),
    )


def _finding(level: Level, subject: str, found: object, remedy: str = "") -> Finding:
    shown = remedy if level != "ok" else ""
    return Finding(level=level, subject=subject, found=printable(str(found))[:200], remedy=shown)


def _lock(held_by: object) -> Finding:
    if held_by is None:
        return _finding("ok", "lock", "free")
    return _finding("note", "lock", f"held by {held_by}", "a job waits for it, up to 30 minutes")


def _software(environment: dict[str, Any], target: Target, python: str) -> list[Finding]:
    found = [_finding("ok", "python", f"{environment.get('python')} ({python})")]
    for package in ("numpy", "onnxruntime", "litert"):
        version = environment.get(package, _UNAVAILABLE)
        there = version != _UNAVAILABLE
        needed = package in {"numpy", target.runtimes[0]}
        name = "ai-edge-litert" if package == "litert" else package
        level: Level = "ok" if there else "problem" if needed else "note"
        use = "" if needed else f"only for files that {package} runs: "
        found.append(
            _finding(level, package, version, f"{use}{python} -m pip install {name} there")
        )
    if "trtexec" in target.runtimes:
        version = environment.get("trtexec", _UNAVAILABLE)
        there = version != _UNAVAILABLE
        remedy = "only for --runtime trtexec: put TensorRT's bin folder on its PATH"
        found.append(_finding("ok" if there else "note", "trtexec", version, remedy))
    providers = environment.get("providers")
    named = [str(each) for each in providers] if isinstance(providers, list) else []
    best = target.providers[0]
    found.append(
        _finding(
            "ok" if best in named else "problem",
            "providers",
            ", ".join(named) or "none",
            f"target {target.name} runs on {best}: install an onnxruntime with it there",
        )
    )
    return found


def _hardware(environment: dict[str, Any], target: Target) -> list[Finding]:
    machine = environment.get("machine")
    fits = machine in target.architectures
    return [
        _finding(
            "ok" if fits else "problem",
            "architecture",
            machine,
            f"target {target.name} is {'/'.join(target.architectures)}: add the device with "
            "another --target",
        ),
        _finding("ok", "cpu", f"{environment.get('cpu')}, {environment.get('cpus')} cores"),
    ]


def _room(subject: str, there: object, least: int, where: str) -> Finding:
    if not isinstance(there, int):
        return _finding("note", subject, _UNAVAILABLE, "nothing says how much there is")
    enough = there >= least
    remedy = f"free some{where}: {least >> 20} MiB are wanted"
    return _finding("ok" if enough else "problem", subject, f"{there / 2**30:.1f} GiB", remedy)


def _steadiness(state: dict[str, Any]) -> list[Finding]:
    governors = state.get("governor")
    named = sorted({str(each) for each in governors}) if isinstance(governors, list) else []
    steady = not named or named == ["performance"]
    heat = state.get("temperature_c")
    zones = heat.values() if isinstance(heat, dict) else ()
    hottest = max((float(c) for c in zones if isinstance(c, int | float)), default=None)
    cool = hottest is None or hottest < _HOT_C
    signs = state.get("throttling")
    active = signs.get("active") if isinstance(signs, dict) else None
    load = state.get("load_average")
    first = load[0] if isinstance(load, list) and load else None
    idle = not isinstance(first, int | float) or first < 1.0
    return [
        _finding(
            "ok" if steady else "note",
            "governor",
            ", ".join(named) or _UNAVAILABLE,
            "latencies are steadier with 'performance' (on a Jetson: nvpmodel and jetson_clocks)",
        ),
        _finding(
            "ok" if cool else "note",
            "temperature",
            _UNAVAILABLE if hottest is None else f"{hottest:.0f} °C at most",
            "let it cool down, or cool it better: it will slow itself down",
        ),
        _finding(
            "note" if active else "ok",
            "throttling",
            "slowed down now: " + ", ".join(map(str, active))
            if active
            else "not now"
            if isinstance(signs, dict)
            else _UNAVAILABLE,
            "blocks measured now are repeated, then left out: cool it or raise its power limit",
        ),
        _finding(
            "ok" if idle else "note",
            "load",
            _UNAVAILABLE if first is None else f"{first}",
            "other work disturbs measurements; wait for it to end",
        ),
    ]


def _sensor(environment: dict[str, Any]) -> Finding:
    sensor = str(environment.get("power_sensor", _UNAVAILABLE))
    there = not sensor.startswith(_UNAVAILABLE)
    return _finding(
        "ok" if there else "note", "power sensor", sensor, "budgets on energy stay inconclusive"
    )
