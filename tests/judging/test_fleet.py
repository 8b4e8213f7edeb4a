"""Several devices compare the same two models: an alarm on one must hold among all."""

from edgekit.errors import InfrastructureError
from edgekit.fleet import Fleet, Share, together
from edgekit.graph import Model
from edgekit.judging import regression
from edgekit.profiling import Profiled


def share(device, measurement):
    checks = regression(measurement)
    model = object.__new__(Model)
    profiled = Profiled(model=model, measurement=measurement, figures={}, regressions=checks)
    return Share(device=device, profiled=profiled)


def test_a_weak_alarm_among_many_devices_is_doubted_and_a_clear_one_is_not(make):
    at_rest = make.measurement(blocks=make.blocks(5))
    others = [share(f"rest-{at}", at_rest) for at in range(19)]
    dead = Share(device="dead", profiled=None, error=InfrastructureError("gone"))
    weak = next(
        found
        for found in (
            share("weak", make.measurement(blocks=make.blocks(5, 1.05, spread=0.006, noise=0.004)))
            for _ in range(200)
        )
        if found.profiled.exit_code == 1 and _is_doubted(found, others)
    )
    clear = share("clear", make.measurement(blocks=make.blocks(10, 1.5)))
    fleet = Fleet(shares=together([weak, clear, dead, *others]))
    codes = {one.device: one.profiled.exit_code for one in fleet.shares if one.profiled}
    assert codes["weak"] == 3
    assert codes["clear"] == 1
    assert codes["rest-0"] == 0
    assert fleet.shares[2] is dead
    assert fleet.exit_code == 1


def _is_doubted(found, others):
    return together([found, *others])[0].profiled.exit_code == 3


def test_nothing_changes_where_nothing_was_compared():
    assert together([]) == ()
