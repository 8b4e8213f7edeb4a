"""A wall clock that jumps changes nothing: leases, time limits and live jobs go by another one."""

import os
import sys
import time

import pytest

from edgekit.agent import lease as leases
from edgekit.agent.child import Child
from edgekit.agent.lease import Lease
from edgekit.agent.store import Store


@pytest.fixture(params=[90_000, -90_000])
def jump(request, monkeypatch):
    """A function after whose call the wall clock is a day and an hour off."""
    real = time.time
    return lambda: monkeypatch.setattr(time, "time", lambda: real() + request.param)


@pytest.fixture
def connection(monkeypatch):
    """A lease that is not to end the tests, and where its commands come from."""
    monkeypatch.setattr(leases.signal, "alarm", lambda _seconds: None)
    monkeypatch.setattr(leases.signal, "signal", lambda *_: None)
    reading, writing = os.pipe()
    yield Lease(reading, lambda _answer: None), writing
    os.close(reading)
    os.close(writing)


def test_the_folder_of_a_job_that_may_come_back_stays(tmp_path, jump):
    away = Store(tmp_path, "away", lambda: None)
    (away.folder / "journal").mkdir()
    jump()
    Store(tmp_path, "other", lambda: None).tidy()
    assert (away.folder / "journal").exists()


@pytest.mark.parametrize("since_boot_s", [-601, 1000])
def test_the_folder_of_a_dead_job_goes(tmp_path, jump, since_boot_s):
    """Silent for more than 10 minutes, or of an earlier boot, whose clock was further on."""
    dead = Store(tmp_path, "dead", lambda: None)
    then = time.monotonic() + since_boot_s
    os.utime(dead.folder / "alive", (then, then))
    jump()
    Store(tmp_path, "other", lambda: None).tidy()
    assert not dead.folder.exists()


def test_a_lease_waits_as_long_as_it_was_told(connection, jump):
    lease, _ = connection
    jump()
    start = time.monotonic()
    assert lease.command(0.05) is None
    assert 0.05 <= time.monotonic() - start < 30


def test_a_call_is_neither_late_nor_lost_nor_done_twice(tmp_path, connection, jump):
    lease, _ = connection
    mark = tmp_path / "runs.txt"
    code = f"open({str(mark)!r}, 'a').write('run\\n'); print('answer')"
    call = {"id": "0-call", "argv": [sys.executable, "-c", code], "timeout_s": 60}
    answers = []
    jump()
    for _ in range(2):
        assert Child(call, tmp_path, answers.append).run(lease, lambda: None)
    assert answers == [{"line": "answer"}, {"ended": 0, "complaint": ""}] * 2
    assert mark.read_text() == "run\n"
