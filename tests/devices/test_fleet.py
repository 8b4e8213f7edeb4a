import pytest
from fleets import sleeping_fleet

from edgekit import profile_fleet
from edgekit.errors import InfrastructureError


@pytest.fixture
def lab(tmp_path):
    """Four devices with separate homes, a runtime that sleeps, and one that dies of it."""
    with sleeping_fleet(tmp_path, number=4, broken=2) as inventory:
        yield inventory


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
