"""The machine's disk, kernel and first programs, made of packages."""

from __future__ import annotations

import compileall
import gzip
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode

from arm64_device import packages
from arm64_device.places import DeviceError, program, run, say

USER = "edge"
_USER_ID = 6400
_DISK_BYTES = 3 << 30
_MERGED = ("bin", "lib", "sbin")
_MADE = ("dev", "proc", "sys", "run", "tmp", "root", "etc/ssh", f"home/{USER}")
_MODULES = ("virtio_ring", "virtio", "virtio_mmio", "virtio_blk")
_NETWORK = ("failover", "net_failover", "virtio_net")

_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /$module.ko; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /disk
/bin/busybox cp /ssh_host_ed25519_key /disk/etc/ssh/
/bin/busybox cp /authorized_keys /disk/etc/ssh/
/bin/busybox mount --move /dev /disk/dev
exec /bin/busybox switch_root /disk /bin/busybox init
"""
_START = f"""#!/bin/sh
PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /dev/pts /dev/shm /run/sshd
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
hostname arm64
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
busybox ip link set lo up
busybox ip address add 10.0.2.15/24 dev eth0
busybox ip link set eth0 up
chown -R {_USER_ID}:{_USER_ID} /home/{USER}
chown -R 0:0 /etc
chmod 600 /etc/ssh/ssh_host_ed25519_key
"""
_INITTAB = """::sysinit:/etc/start
::respawn:/usr/sbin/sshd -D -e
"""
_SSHD = f"""HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
AllowUsers {USER}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
Subsystem sftp internal-sftp
"""


def recipe() -> str:
    """Return a name that changes with whatever the image is made of."""
    sources = b"".join(file.read_bytes() for file in (Path(__file__), Path(packages.__file__)))
    return hashlib.sha256(sources + repr(packages.requirements()).encode()).hexdigest()[:12]


def build(place: Path) -> Path:
    """Make the image in `place` unless it is there, and return its folder.

    The folder appears when it is complete; what was fetched for it is kept for the next time.
    """
    made = place / "images" / recipe()
    if made.exists():
        return made
    say("fetching Debian packages (60 MB) ...")
    system, kernel = packages.fetch_debian(place / "debian")
    shutil.rmtree(place / "images", ignore_errors=True)
    made.parent.mkdir()
    part = Path(tempfile.mkdtemp(prefix="part-", dir=made.parent))
    root = part / "root"
    say("unpacking them ...")
    _lay_out(root)
    packages.unpack(system, root)
    _set_up(root)
    say("fetching wheels (50 MB) ...")
    python = f"usr/local/lib/python{packages.PYTHON}/dist-packages"
    packages.install_wheels(place / "wheels", root / python)
    _compile(root)
    say("writing the disk ...")
    _keep_kernel(kernel, root, part)
    _write_disk(root, part / "disk.img")
    shutil.rmtree(root)
    part.rename(made)
    return made


def initramfs(image: Path, keys: Path) -> bytes:
    """Return what the kernel starts from: drivers, the keys in `keys`, and the way on."""
    modules = (*_MODULES, *_NETWORK)
    files = [("init", _INIT.format(modules=" ".join(modules)).encode(), 0o100755)]
    files += [(folder, b"", 0o040755) for folder in ("bin", "dev", "disk")]
    files += [("bin/busybox", (image / "busybox").read_bytes(), 0o100755)]
    files += [(f"{name}.ko", (image / f"{name}.ko").read_bytes(), 0o100644) for name in modules]
    files += [
        ("ssh_host_ed25519_key", (keys / "host").read_bytes(), 0o100600),
        ("authorized_keys", (keys / "login.pub").read_bytes(), 0o100644),
        ("TRAILER!!!", b"", 0),
    ]
    return gzip.compress(b"".join(_entry(*file) for file in files), compresslevel=1)


def _lay_out(root: Path) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in _MADE:
        (root / name).mkdir(parents=True)


def _set_up(root: Path) -> None:
    """Write what the packages' scripts would have written."""
    etc = root / "etc"
    defaults = root / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        shutil.copy(defaults / f"{name}.master", etc / name)
    with (etc / "passwd").open("a", encoding="utf-8") as file:
        file.write("sshd:*:105:65534::/run/sshd:/usr/sbin/nologin\n")
        file.write(f"{USER}:*:{_USER_ID}:{_USER_ID}::/home/{USER}:/bin/bash\n")
    with (etc / "group").open("a", encoding="utf-8") as file:
        file.write(f"{USER}:*:{_USER_ID}:\n")
    (etc / "inittab").write_text(_INITTAB, encoding="utf-8")
    (etc / "hosts").write_text("127.0.0.1 localhost arm64\n", encoding="utf-8")
    (etc / "ssh/sshd_config").write_text(_SSHD, encoding="utf-8")
    start = etc / "start"
    start.write_text(_START, encoding="utf-8")
    start.chmod(0o755)
    (root / "usr/bin/awk").symlink_to("mawk")


def _compile(root: Path) -> None:
    """Compile Python's files for the machine, where this Python can: they load twice as fast."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == packages.PYTHON:
        for folder in ("usr/lib", "usr/local/lib"):
            compileall.compile_dir(
                root / folder / f"python{packages.PYTHON}",
                stripdir=str(root),
                quiet=2,
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )


def _keep_kernel(package: Path, root: Path, to: Path) -> None:
    unpacked = to / "kernel"
    unpacked.mkdir()
    packages.unpack([package], unpacked)
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    kernel.rename(to / "vmlinuz")
    for name in (*_MODULES, *_NETWORK):
        found = next(unpacked.rglob(f"{name}.ko"), None)
        if found is None:
            raise DeviceError(f"the kernel has no module {name}")
        found.rename(to / f"{name}.ko")
    shutil.copy(root / "usr/bin/busybox", to / "busybox")
    shutil.rmtree(unpacked)


def _write_disk(root: Path, disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    # no journal: what is written is gone at the next start
    options = ("-q", "-F", "-O", "^has_journal", "-E", "root_owner=0:0")
    run([program("mkfs.ext4"), *options, "-d", root, disk], doing="mkfs.ext4")


def _entry(name: str, content: bytes, mode: int) -> bytes:
    """Return one entry of a cpio archive in the form `newc`."""
    links = 2 if mode & 0o040000 else 1
    fields = (0, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
