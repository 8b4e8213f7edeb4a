"""The keys that a host identifies itself with: asked for, shown by fingerprint."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from edgekit.devices.inventory import Entry
from edgekit.devices.ssh_command import CONNECT_S, config_flags
from edgekit.errors import InfrastructureError, printable

_KEYS_WORDS = 3
_LONGEST_BYTES = 64 << 10
_KINDS = ("ed25519", "ecdsa", "rsa")
"""Asked for one by one: asked for all at once, a slow host is given up before its turn comes."""
_GREETING = "SSH-2.0-"
_SLOWEST_S = 60
"""For a host that greets but takes longer for its key: a small board, busy."""


def scanned_keys(name: str, entry: Entry) -> tuple[str, ...]:
    """Ask the host for its keys; nothing says yet that it is the right host.

    Returns:
        `ssh-ed25519 AAAA...` and so on, sorted.

    Raises:
        InfrastructureError: it does not answer.
    """
    host, port = _resolved(entry)
    keys: set[str] = set()
    for patience_s in (CONNECT_S, _SLOWEST_S):
        for kind in _KINDS:
            scan = ["ssh-keyscan", "-T", str(patience_s), "-t", kind, "-p", port, "--", host]
            answer, complaint = _output(scan, within_s=2 * patience_s)
            keys |= _keys_in(answer)
            greets = _GREETING in complaint
            if not greets:
                break
        if keys or not greets:
            break
    if not keys:
        raise InfrastructureError(
            "it does not tell its host key",
            where=name,
            found=printable(complaint.strip().splitlines()[-1]) if complaint.strip() else "",
            remedy="check that it runs and its address; behind a jump host, put its public key "
            "into `host_keys` of the inventory by hand",
        )
    return tuple(sorted(keys))


def _keys_in(answer: str) -> set[str]:
    lines = (line.split() for line in answer.splitlines() if not line.startswith("#"))
    return {" ".join(words[1:]) for words in lines if len(words) == _KEYS_WORDS}


def fingerprints(keys: Sequence[str]) -> tuple[str, ...]:
    """Return `SHA256:... (ED25519)` of each key, as `ssh-keygen -l` shows it.

    Raises:
        InfrastructureError: one is no key.
    """
    return tuple(_fingerprint(key) for key in keys)


def _fingerprint(key: str) -> str:
    answer, complaint = _output(["ssh-keygen", "-l", "-f", "-"], key + "\n")
    words = answer.split()
    if len(words) < _KEYS_WORDS:
        raise InfrastructureError(
            "no public key", found=repr(key[:40]), expected=complaint.strip() or "ssh-... AAAA..."
        )
    return printable(f"{words[1]} {words[-1]}")


def _resolved(entry: Entry) -> tuple[str, str]:
    """Return host and port as ssh_config has them."""
    port = ["-p", str(entry.port)] if entry.port else []
    answer, _ = _output(["ssh", "-G", *config_flags(), *port, "--", entry.host])
    settings = dict(line.partition(" ")[::2] for line in answer.splitlines())
    return settings.get("hostname", entry.host), settings.get("port", "22")


def _output(
    argv: Sequence[str], given: str = "", *, within_s: int = 2 * CONNECT_S
) -> tuple[str, str]:
    try:
        ended = subprocess.run(
            list(argv),
            input=given.encode(),
            capture_output=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", "no answer in time"
    except OSError as error:
        raise InfrastructureError(
            f"{argv[0]} cannot be started", found=str(error), remedy="install OpenSSH's client"
        ) from error
    return _text(ended.stdout), _text(ended.stderr)


def _text(content: bytes) -> str:
    return content[:_LONGEST_BYTES].decode(errors="replace")
