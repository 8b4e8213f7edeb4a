"""Asking a host for its keys, by a stand-in for ssh-keyscan."""

import os

import pytest

from edgekit.devices import Entry, scanned_keys
from edgekit.errors import InfrastructureError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1N"
GREETS = 'echo "# board:22 SSH-2.0-OpenSSH_9.2p1" >&2'


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """Ask with a stand-in that runs `code` of the shell, $2 its patience and $4 the kind of key."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def asked(code):
        tool = tmp_path / "ssh-keyscan"
        tool.write_text(f'#!/bin/sh\necho "$2 $4" >> {tmp_path}/asked\n{code}\n')
        tool.chmod(0o755)
        return scanned_keys("board", Entry(host="board", target="x86"))

    asked.calls = lambda: (tmp_path / "asked").read_text().splitlines()
    return asked


def test_a_host_that_greets_may_take_longer_for_its_key(scan):
    assert scan(f'{GREETS}\n[ "$2" -gt 15 ] && echo "board {KEY}"') == (KEY,)
    assert scan.calls()[:4] == ["15 ed25519", "15 ecdsa", "15 rsa", "60 ed25519"]


def test_each_kind_of_key_is_asked_for_by_itself(scan):
    only = f'{GREETS}\n[ "$4" = ecdsa ] && echo "board {KEY}"'
    assert scan(only) == (KEY,)
    assert scan.calls() == ["15 ed25519", "15 ecdsa", "15 rsa"]


def test_a_silent_host_is_given_up_at_once(scan):
    with pytest.raises(InfrastructureError, match="does not tell its host key"):
        scan("exit 1")
    assert scan.calls() == ["15 ed25519"]
