"""Devices of every kind: this machine, and such as stand behind a real sshd."""

import sys

import pytest
from loopback import Loopback, require_sshd

from edgekit.devices import Entry, LocalDevice, SshDevice


def entry_of(board):
    return Entry(
        host="127.0.0.1",
        port=board.port,
        user=board.user,
        target="x86",
        python=sys.executable,
        host_keys=(board.host_key,),
    )


@pytest.fixture(scope="session")
def boards(tmp_path_factory):
    """Two devices that the same key opens: one to break, one that stays connected."""
    require_sshd()
    made = [Loopback(tmp_path_factory.mktemp("board")) for _ in range(2)]
    made[1].admit(made[0])
    for board in made:
        board.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_SSH_CONFIG", str(made[0].folder / "ssh_config"))
        yield made
    for board in made:
        board.stop()


@pytest.fixture
def board(boards):
    """A device to break; nothing may run there afterwards."""
    yield boards[0]
    assert boards[0].wait_until_idle(), boards[0].agents()


@pytest.fixture
def entry(board):
    return entry_of(board)


@pytest.fixture(scope="session")
def connected(boards):
    with SshDevice("board", entry_of(boards[1])) as device:
        yield device
    assert boards[1].wait_until_idle()


@pytest.fixture(params=["local", "ssh"])
def device(request):
    if request.param == "local":
        with LocalDevice() as opened:
            yield opened
    else:
        yield request.getfixturevalue("connected")
