"""Several loopback devices whose runtime only sleeps, in an inventory of their own."""

import contextlib

import pytest
from loopback import SLEEPING_RUNTIME, Loopback, require_sshd

from edgekit import add_device, trust_device


@contextlib.contextmanager
def sleeping_fleet(folder, *, number, broken):
    """Yield the inventory of `board0`, `board1`... with the tag `lab`; `broken` fails to measure.

    Nothing may run on any of them in the end.
    """
    require_sshd()
    (folder / "stub").mkdir()
    (folder / "stub" / "onnxruntime.py").write_text(SLEEPING_RUNTIME)
    inventory, boards = folder / "devices.toml", []
    try:
        with pytest.MonkeyPatch.context() as patch:
            for at in range(number):
                board = Loopback(folder / f"board{at}")
                board.start()
                boards.append(board)
                breaking = 'case "$2" in block) exit 7;; esac' if at == broken else ""
                python = board.python(f"export PYTHONPATH={folder}/stub\n{breaking}")
                told = {"target": "x86", "python": python, "tags": ["lab"], "inventory": inventory}
                add_device(f"board{at}", board.address, **told)
                board.admit(boards[0])
            patch.setenv("EDGEKIT_SSH_CONFIG", str(boards[0].folder / "ssh_config"))
            for at in range(number):
                trust_device(f"board{at}", accept=lambda _: True, inventory=inventory)
            yield inventory
        assert all(board.wait_until_idle() for board in boards)
    finally:
        for board in boards:
            board.stop()
