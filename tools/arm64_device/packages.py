"""What the machine is made of: Debian packages by apt, wheels by pip; nothing runs as root.

apt works on folders of its own with an empty status, for the other architecture: it resolves,
fetches and verifies, but installs nothing. Unpacking runs none of the packages' scripts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from arm64_device.places import DeviceError, program, run

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

PYTHON = "3.11"
_RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SOURCES = (
    ("http://deb.debian.org/debian", _RELEASE),
    ("http://deb.debian.org/debian-security", f"{_RELEASE}-security"),
)
_KERNEL = "linux-image-cloud-arm64"
SYSTEM = (
    *("base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "findutils"),
    *(
        "grep",
        "gzip",
        "hostname",
        "libc-bin",
        "libstdc++6",
        "mawk",
        "mount",
        "openssh-server",
        "procps",
    ),
    *("python3", "sed", "tar", "util-linux"),
)
_PLANNED = re.compile(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", re.MULTILINE)
_RUNTIMES = ("onnxruntime", "ai-edge-litert")
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")


def requirements() -> tuple[str, ...]:
    """Return what pip is asked for: the runtimes' releases of this environment, else the newest."""
    return (*(_as_here(name) for name in _RUNTIMES), "numpy")


def fetch_debian(place: Path) -> tuple[list[Path], Path]:
    """Bring all packages into `place` and return those of the system and the kernel's.

    What is there already is not fetched again.

    Raises:
        DeviceError: the registry cannot be reached, or apt refuses a signature.
    """
    environment = _apt_environment(place)
    apt = program("apt-get")
    run([apt, "update"], doing="apt-get update", env=environment)
    install = [apt, "install", "-q", "-y"]
    plan = run([*install, "--simulate", *SYSTEM], doing="apt-get install", env=environment)
    run([*install, "--download-only", *SYSTEM], doing="apt-get install", env=environment)
    archives = place / "cache" / "archives"
    system = [
        archives / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        for name, version, architecture in _PLANNED.findall(plan)
    ]
    depends = run(
        [program("apt-cache"), "depends", _KERNEL], doing="apt-cache depends", env=environment
    )
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise DeviceError(f"{_KERNEL} names no kernel")
    kernels = place / "kernel"
    kernels.mkdir(exist_ok=True)
    run([apt, "download", found[1]], doing="apt-get download", env=environment, cwd=kernels)
    return system, max(kernels.glob(f"{found[1]}_*.deb"), key=lambda file: file.stat().st_mtime)


def unpack(packages: list[Path], root: Path) -> None:
    """Lay out the files of Debian packages under `root`."""
    for package in packages:
        with subprocess.Popen(
            [program("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE
        ) as reader:
            options = ("--keep-directory-symlink", "--no-same-owner", "--exclude=./usr/share/doc")
            run(
                [program("tar"), "-x", "-C", root, *options],
                doing=f"unpacking {package.name}",
                stdin=reader.stdout,
            )


def install_wheels(wheels: Path, folder: Path) -> None:
    """Fetch the wheels into `wheels` and install them into `folder`.

    Raises:
        DeviceError: a release has no wheel for the machine's Python.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    python = ["--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:"]
    for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
        python += ["--abi", abi]
    for platform in _PLATFORMS:
        python += ["--platform", f"{platform}_aarch64"]
    run([*pip, "download", "-d", wheels, *python, *requirements()], doing="pip download")
    options = ("--no-index", "--find-links", wheels, "--no-compile", "--target", folder)
    run([*pip, "install", *options, *python, *requirements()], doing="pip install")


def _as_here(name: str) -> str:
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return name


def _apt_environment(place: Path) -> dict[str, str]:
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    (place / "state/status").touch()
    sources = [f"deb [signed-by={KEYRING}] {url} {suite} main\n" for url, suite in _SOURCES]
    (place / "sources.list").write_text("".join(sources), encoding="utf-8")
    configuration = place / "apt.conf"
    configuration.write_text(
        f"""APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{place}/state";
Dir::State::status "{place}/state/status";
Dir::Cache "{place}/cache";
Dir::Etc::sourcelist "{place}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "-";
""",
        encoding="utf-8",
    )
    return {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C.UTF-8"}
