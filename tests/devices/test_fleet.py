import pytest
from loopback import SLEEPING_RUNTIME, Loopback, require_sshd

from edgekit import add_device, profile_fleet, trust_device
from edgekit.errors import InfrastructureError


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Four devices with separate homes, a runtime that sleeps, and one that dies of it."""
    require_sshd()
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "onnxruntime.py").write_text(SLEEPING_RUNTIME)
    inventory, made = tmp_path / "devices.toml", []
    for at in range(4):
        board = Loopback(tmp_path / f"board{at}")
        board.start()
        made.append(board)
        breaking = 'case "$2" in block) exit 7;; esac' if at == 2 else ""
        python = board.python(f"export PYTHONPATH={tmp_path}/stub\n{breaking}")
        add_device(
            f"board{at}",
            board.address,
            target="x86",
            python=python,
            tags=["lab"],
            inventory=inventory,
        )
        board.admit(made[0])
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(made[0].folder / "ssh_config"))
    for at in range(4):
        trust_device(f"board{at}", accept=lambda _: True, inventory=inventory)
    yield inventory
    idle = [board.wait_until_idle() for board in made]
    for board in made:
        board.stop()
    assert all(idle)


@pytest.mark.slow  # 40 s
def test_a_dead_board_spoils_nothing_but_its_own(lab, small_model):
    fleet = profile_fleet(small_model, devices=["tag:lab"], inventory=lab)
    assert [share.device for share in fleet.shares] == [f"board{at}" for at in range(4)]
    errors = [str(share.error) for share in fleet.shares]
    assert [error == "None" for error in errors] == [True, True, False, True], errors
    assert isinstance(fleet.shares[2].error, InfrastructureError)
    assert "code 7" in str(fleet.shares[2].error)
    assert fleet.exit_code == 3
    for share in fleet.shares:
        if share.profiled is not None:
            assert share.profiled.measurement.setup.device == share.device
            assert share.profiled.measurement.blocks
