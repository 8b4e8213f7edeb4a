"""The command: `arm64-device up | down | status`."""

from __future__ import annotations

import argparse
import fcntl
from collections.abc import Sequence
from pathlib import Path

from arm64_device import image, machine, packages
from arm64_device.places import DeviceError, home, program, say

_DESCRIPTION = """An emulated arm64 Linux machine, reached over SSH.

up      builds it (once, a few minutes, 1 GB in the cache folder), boots it and tells how to
        reach it; what was built or fetched is kept
down    stops it; its disk is as new at the next start
status  tells whether it runs

It needs no root. On a Debian or Ubuntu host it needs these packages:
"""
_PACKAGES = {
    "qemu-system-aarch64": "qemu-system-arm",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "mkfs.ext4": "e2fsprogs",
    "ssh-keygen": "openssh-client",
}
_KEYRING = "debian-archive-keyring"
_CPU = "cortex-a72"


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 2 (install something), 4 (it failed).

    `status` returns 4 when the machine does not run.
    """
    parser = argparse.ArgumentParser(
        prog="arm64-device",
        description=_DESCRIPTION + f"    {' '.join((*_PACKAGES.values(), _KEYRING))}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("do", choices=("up", "down", "status"))
    parser.add_argument(
        "--cpu",
        default=_CPU,
        help=f"{_CPU} (the default; Raspberry Pi 4), cortex-a76 (with dot products; Raspberry"
        " Pi 5), max (all that QEMU knows)",
    )
    given = parser.parse_args(arguments)
    place = home()
    try:
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return {"up": _up, "down": _down, "status": _status}[given.do](place, given.cpu)
    except DeviceError as error:
        say(f"arm64-device: {error}")
        return error.code


def _up(place: Path, cpu: str) -> int:
    _check_installed()
    if machine.running(place) is None:
        built = image.build(place)
        say(f"booting ({cpu}) ...")
        machine.start(place, built, cpu)
    elif machine.cpu(place) != cpu:
        raise DeviceError(f"it runs as {machine.cpu(place)}; first: tools/arm64-device down")
    return _status(place, cpu)


def _down(place: Path, _cpu: str) -> int:
    say("stopped" if machine.stop(place) else "it did not run")
    return 0


def _status(place: Path, _cpu: str) -> int:
    pid = machine.running(place)
    if pid is None:
        say("not running; start it with: tools/arm64-device up")
        return 4
    port = machine.port(place)
    print(f"host    {machine.ADDRESS}")
    print(f"port    {port}")
    print(f"user    {image.USER}")
    print(f"cpu     {machine.cpu(place)}, emulated: its times say nothing")
    print(f"process {pid}")
    configuration = machine.configuration(place)
    print(f"ssh -F {configuration} {machine.NAME}")
    print(f"export EDGEKIT_SSH_CONFIG={configuration}")
    print(f"edgekit device add arm64 ssh://{machine.NAME} --target arm-cpu")
    return 0


def _check_installed() -> None:
    missing = [package for name, package in _PACKAGES.items() if not _there(name)]
    if not packages.KEYRING.exists():
        missing.append(_KEYRING)
    if missing:
        command = f"apt-get install {' '.join(missing)}"
        raise DeviceError(f"something is missing; as root: {command}", code=2)


def _there(name: str) -> bool:
    try:
        program(name)
    except DeviceError:
        return False
    return True
