"""A device on the loopback address: a real sshd, with a key, a home and a lock of its own."""

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SSHD = "/usr/sbin/sshd"
SLEEPING_RUNTIME = '''
"""In place of onnxruntime: takes any file for the small model of the tests, and sleeps."""

import time
__version__ = "1.99"

def get_available_providers():
    return ["CPUExecutionProvider"]

class SessionOptions:
    pass

class _Value:
    type = "tensor(float)"
    def __init__(self, name, shape):
        self.name, self.shape = name, shape

class InferenceSession:
    def __init__(self, model, options, providers):
        pass
    def get_providers(self):
        return ["CPUExecutionProvider"]
    def get_inputs(self):
        return [_Value("x", ["N", 3, 16, 16])]
    def get_outputs(self):
        return [_Value("logits", ["N", 10])]
    def run(self, names, feeds):
        time.sleep(0.002)
        return []
'''


class Loopback:
    """One sshd, started and stopped at will; `folder` holds all of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.port = _free_port()
        self.user = getpass.getuser()
        self.process = None
        _key(folder / "host_key")
        _key(folder / "client_key")
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        self.lock = folder / "lock"
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"PidFile {folder}/pid\nAuthorizedKeysFile {folder}/authorized_keys\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nLogLevel VERBOSE\n"
            "PermitRootLogin yes\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
            f"SetEnv XDG_CACHE_HOME={self.home} EDGEKIT_LOCK={self.lock}\n"
        )
        (folder / "ssh_config").write_text(
            f"Host *\n  IdentityFile {folder}/client_key\n  IdentitiesOnly yes\n"
        )

    def admit(self, other: "Loopback") -> None:
        """Let in whoever has the other's key."""
        shutil.copy(other.folder / "client_key.pub", self.folder / "authorized_keys")

    @property
    def address(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", self.folder / "sshd_config"],
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # no threads here
        )
        log.close()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        self.cut()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cut(self) -> int:
        """Kill the server's side of every connection; return how many there were."""
        return len([each.kill() for each in self.sessions()])

    def sessions(self) -> list:
        """The sshd processes of connections; `notty` ones are those that have logged in."""
        if self.process is None:
            return []
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in children if "sshd" in _name(each)]

    def agents(self, word: str = "") -> list:
        """Every process over there with `word` in its command, whoever its parent is by now."""
        mark = f"XDG_CACHE_HOME={self.home}".encode()
        every = [each for each in psutil.process_iter() if mark in _environment(each)]
        return [each for each in every if not word or word in _command(each)]

    def wait_until_idle(self, within_s: float = 15) -> bool:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if not self.agents():
                return True
            time.sleep(0.05)
        return False

    def new_host_key(self) -> None:
        (self.folder / "host_key").unlink()
        _key(self.folder / "host_key")
        self.stop()
        self.start()

    def python(self, code: str, interpreter: str = sys.executable) -> str:
        """Return a stand-in for the device's Python, a script with `code` for the shell."""
        file = self.folder / f"python-{len(list(self.folder.iterdir()))}"
        file.write_text(f'#!/bin/sh\n{code}\nexec {interpreter} "$@"\n')
        file.chmod(0o755)
        return str(file)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def _command(process) -> list:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _name(process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _environment(process) -> bytes:
    try:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        zombie = process.status() == psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return b""
    return b"" if zombie else environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _key(file: Path) -> None:
    file.with_suffix(".pub").unlink(missing_ok=True)
    subprocess.run(  # as PATH says
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file],  # noqa: S607  # as PATH says
        check=True,
    )


def require_sshd() -> None:
    """Skip where there is no sshd; in CI there has to be one."""
    if not Path(SSHD).exists():
        assert not os.environ.get("CI"), "CI needs openssh-server"
        pytest.skip("no sshd here")
