"""The running machine: started, found again, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from arm64_device.image import USER, initramfs
from arm64_device.places import DeviceError, program, run

NAME = "arm64-device"
ADDRESS = "127.0.0.1"
_PORT = 22064
_MEMORY_MB, _CPUS = 2048, 2
_BOOT_S, _STOP_S = 180.0, 10.0


def start(place: Path, image: Path, cpu: str) -> None:
    """Boot `image` as a process of its own and return when one can log in.

    Args:
        place: the folder of everything.
        image: of `image.build`.
        cpu: as QEMU calls it.

    Raises:
        DeviceError: QEMU does not start, or the machine does not answer.
    """
    folder = place / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    _make_keys(place / "keys")
    start_from = folder / "initramfs"
    start_from.write_bytes(initramfs(image, place / "keys"))
    port, console = _port(place), folder / "console.log"
    disk = str(image / "disk.img").replace(",", ",,")  # as QEMU reads options
    command: list[str | Path] = [
        *(program("qemu-system-aarch64"), "-M", "virt", "-cpu", cpu, "-accel", "tcg,thread=multi"),
        *("-smp", str(_CPUS), "-m", str(_MEMORY_MB), "-nodefaults", "-display", "none"),
        *("-no-reboot", "-daemonize", "-pidfile", folder / "pid"),
        *("-kernel", image / "vmlinuz", "-initrd", start_from),
        *("-append", "console=ttyAMA0 quiet panic=-1"),
        *("-serial", f"file:{console}"),
        *("-drive", f"if=none,id=disk,format=raw,snapshot=on,file={disk}"),
        *("-device", "virtio-blk-device,drive=disk"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:{ADDRESS}:{port}-:22"),
        *("-device", "virtio-net-device,netdev=net"),
    ]
    run(command, doing="qemu-system-aarch64")
    (folder / "cpu").write_text(cpu, encoding="utf-8")
    _write_configuration(place, port)
    try:
        _wait(place)
    except DeviceError:
        stop(place)
        raise


def running(place: Path) -> int | None:
    """Return the process id of the machine, or None."""
    try:
        pid = int((place / "run/pid").read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(place / "run/pid").encode() in command.split(b"\0") else None


def stop(place: Path) -> bool:
    """End the machine; False when none was running. Its disk is as it was built."""
    pid = running(place)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    while running(place) is not None:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    (place / "run/pid").unlink(missing_ok=True)
    return True


def port(place: Path) -> int:
    """Return the port of the machine that was started last."""
    return int((place / "run/port").read_text(encoding="ascii"))


def cpu(place: Path) -> str:
    """Return the processor of the machine that was started last."""
    return (place / "run/cpu").read_text(encoding="utf-8")


def configuration(place: Path) -> Path:
    """Return the ssh_config that knows the machine as `NAME`, and whatever the user's own knows."""
    return place / "ssh_config"


def _make_keys(folder: Path) -> None:
    """Make the machine's host key and the key to log in with, once."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("host", "login"):
        if not (folder / name).exists():
            command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", NAME]
            run([*command, "-f", folder / name], doing="ssh-keygen")


def _port(place: Path) -> int:
    """Return the port of last time, so that what knows it stays right; another if it is taken."""
    file = place / "run/port"
    wanted = int(file.read_text(encoding="ascii")) if file.exists() else _PORT
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, wanted))
        except OSError:
            probe.bind((ADDRESS, 0))
        chosen = int(probe.getsockname()[1])
    file.write_text(str(chosen), encoding="ascii")
    return chosen


def _write_configuration(place: Path, port: int) -> None:
    key = " ".join((place / "keys/host.pub").read_text(encoding="utf-8").split()[:2])
    known = place / "run/known_hosts"
    known.write_text(f"{NAME} {key}\n", encoding="utf-8")
    configuration(place).write_text(
        f"""Host {NAME}
  HostName {ADDRESS}
  Port {port}
  User {USER}
  IdentityFile "{place / "keys/login"}"
  IdentitiesOnly yes
  HostKeyAlias {NAME}
  UserKnownHostsFile "{known}"
Host *
  Include ~/.ssh/config
""",
        encoding="utf-8",
    )


def _wait(place: Path) -> None:
    login: list[str | Path] = [program("ssh"), "-F", configuration(place), "-o", "BatchMode=yes"]
    deadline = time.monotonic() + _BOOT_S
    while time.monotonic() < deadline:
        if running(place) is None:
            break
        try:
            run([*login, "-o", "ConnectTimeout=20", NAME, "true"], doing="ssh")
        except DeviceError:
            time.sleep(0.5)
        else:
            return
    console = place / "run/console.log"
    raise DeviceError(f"the machine does not answer; {console} is what it said")
