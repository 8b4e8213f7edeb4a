"""The commands of OpenSSH that reach a device, and what their complaints mean.

Whatever ssh_config says of users, keys, jump hosts and agents holds; what says whom to trust does
not: only the pinned keys count.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.inventory import Entry
from edgekit.errors import EdgekitError, InfrastructureError, printable

SSH_CONFIG = "EDGEKIT_SSH_CONFIG"
"""Names an ssh_config to use in place of the user's own."""

CONNECT_S = 15
_SSH_FAILED = 255
_LACKS_KNOWN_HOSTS_COMMAND = (8, 4)


class UnreachableDeviceError(InfrastructureError):
    """No connection: trying again may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshCommand:
    """How `ssh` and `sftp` are called for one device.

    Attributes:
        folder: private, of a short name; gets the pinned keys and the shared connection's socket.
    """

    name: str
    entry: Entry
    folder: Path

    def prepared(self) -> SshCommand:
        """Write down the only keys to be believed, and return this.

        Raises:
            InfrastructureError: none is pinned.
        """
        if not self.entry.host_keys:
            raise InfrastructureError(
                "its host key is not pinned, so nothing says that it is the device",
                where=self.name,
                remedy=f"compare the fingerprint and pin it: edgekit device trust {self.name}",
            )
        lines = [f"{self._alias} {key}\n" for key in self.entry.host_keys]
        (self.folder / "known").write_text("".join(lines), encoding="ascii")
        return self

    def shell(self, command: str) -> list[str]:
        """Return the call that connects and runs `command` in the user's shell there."""
        port = ["-p", str(self.entry.port)] if self.entry.port else []
        return ["ssh", "-T", *self._options(master=True), *port, "--", self.entry.host, command]

    def sftp(self) -> list[str]:
        """Return the call that carries out a batch from standard input, over that connection."""
        port = ["-P", str(self.entry.port)] if self.entry.port else []
        host = f"[{self.entry.host}]" if ":" in self.entry.host else self.entry.host
        limits = ["-q", "-R", "16", "-b", "-"]
        return ["sftp", *limits, *self._options(master=False), *port, "--", host]

    @property
    def _alias(self) -> str:
        return f"edgekit-{self.name}".lower()

    def _options(self, *, master: bool) -> list[str]:
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ConnectionAttempts": "1",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "2",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.folder / "known"),
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": self._alias,
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "VerifyHostKeyDNS": "no",
            "NoHostAuthenticationForLocalhost": "no",
            "ControlPath": str(self.folder / "c"),
            "ControlMaster": "yes" if master else "no",
            "ControlPersist": "no",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "LogLevel": "ERROR",
        }
        if _version() > _LACKS_KNOWN_HOSTS_COMMAND:
            settings["KnownHostsCommand"] = "none"
        if self.entry.user:
            settings["User"] = self.entry.user
        flags = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        return [*config_flags(), *flags]


def config_flags() -> list[str]:
    """Return the option that names another ssh_config, where the user wants one."""
    config = os.environ.get(SSH_CONFIG)
    return ["-F", config] if config else []


def quoted(argv: Sequence[str]) -> str:
    """Return `argv` as any login shell reads it; a leading `~/` is the home there."""
    words = []
    for word in argv:
        if word.startswith("~/"):
            words.append('"$HOME"/' + shlex.quote(word[2:]))
        else:
            words.append(shlex.quote(word))
    return " ".join(words)


def refusal(code: int, complaint: str, *, name: str, entry: Entry) -> EdgekitError:
    """Return why `ssh` ended before the agent answered, as an error.

    `UnreachableDeviceError` where trying again may help.
    """
    text = printable(complaint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else f"ssh ended with code {code}"
    if "HOST IDENTIFICATION HAS CHANGED" in text or "Host key verification failed" in text:
        return InfrastructureError(
            "its host key is not the pinned one: another machine answers, or it was set up anew",
            where=name,
            remedy=f"if you know why, compare the fingerprint and pin it: edgekit device trust "
            f"{name}",
        )
    if "Permission denied" in text:
        return InfrastructureError(
            "it does not let us in",
            where=name,
            found=said,
            remedy=f"make `ssh {_by_hand(entry)}` work without a password: a key on the device, "
            "loaded here",
        )
    if code in {126, 127}:
        return InfrastructureError(
            f"no Python to run there as {entry.python!r}",
            where=name,
            found=said,
            remedy="install Python 3.8 or newer there, or name it with `edgekit device add "
            f"{name} ... --python PATH`",
        )
    if code not in {_SSH_FAILED, -signal.SIGKILL}:
        return InfrastructureError(
            f"{entry.python!r} does not start there",
            where=name,
            found=said,
            remedy=f"try it: ssh {_by_hand(entry)} {entry.python} --version",
        )
    return UnreachableDeviceError(
        "cannot be reached",
        where=name,
        found=said,
        remedy=f"check that it runs and that `ssh {_by_hand(entry)}` connects",
    )


def _by_hand(entry: Entry) -> str:
    port = f"-p {entry.port} " if entry.port else ""
    user = f"{entry.user}@" if entry.user else ""
    return f"{port}{user}{entry.host}"


@functools.cache
def _version() -> tuple[int, int]:
    """Return the version of OpenSSH; the newest where it does not say.

    Raises:
        InfrastructureError: there is none.
    """
    try:
        said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False)  # noqa: S607  # as PATH says
    except OSError as error:
        raise InfrastructureError(
            "ssh cannot be started", found=str(error), remedy="install OpenSSH's client"
        ) from error
    match = re.search(r"OpenSSH_(\d+)\.(\d+)", said.stderr)
    return (int(match[1]), int(match[2])) if match else (99, 0)
