"""Devices of every kind: this machine, and one behind a real sshd on the loopback address."""

import sys

import pytest
from loopback import Loopback, require_sshd

from edgekit.devices import Entry, LocalDevice, SshDevice


@pytest.fixture(scope="session")
def sshd_of_session(tmp_path_factory):
    require_sshd()
    board = Loopback(tmp_path_factory.mktemp("board"))
    board.start()
    yield board
    board.stop()


@pytest.fixture
def board(sshd_of_session, monkeypatch):
    """A device on the loopback address; nothing may run there afterwards."""
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(sshd_of_session.folder / "ssh_config"))
    yield sshd_of_session
    assert sshd_of_session.wait_until_idle(), [p.cmdline() for p in sshd_of_session.agents()]


@pytest.fixture
def entry(board):
    return Entry(
        host="127.0.0.1",
        port=board.port,
        user=board.user,
        target="x86",
        python=sys.executable,
        host_keys=(board.host_key,),
    )


@pytest.fixture(params=[LocalDevice, SshDevice], ids=["local", "ssh"])
def device(request):
    if request.param is LocalDevice:
        with LocalDevice() as opened:
            yield opened
    else:
        with SshDevice("board", request.getfixturevalue("entry")) as opened:
            yield opened
