"""Whatever stops the writing, the place holds nothing, the old bundle, or the new one."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace

import pytest

from edgekit import bundle
from edgekit.bundle import writing
from edgekit.errors import OutputError

_CHANGES = {
    "open",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.rmtree",
    "tempfile.mkdtemp",
}


def killed_at(step, action):
    """Run `action` in a fork that dies before its change number `step`; say whether it finished."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event, _arguments):
            nonlocal seen
            if event in _CHANGES:
                if seen == step:
                    os._exit(9)
                seen += 1

        sys.addaudithook(hook)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def attempt(action):
    """Return the message that `action` fails with, or None."""
    try:
        action()
    except OutputError as error:
        return str(error)
    return None


def notes_at(place):
    if not place.exists():
        return None
    return bundle.read(place).result.notes


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_killed_at_any_change_old_or_new_is_whole(model, result, place, exchange, monkeypatch):
    if not exchange:
        monkeypatch.setattr(writing, "_swap", lambda *_: False)
    bundle.write(place, replace(result, notes=("old",)), model)
    finished, step, seen = False, 0, set()
    while not finished:
        new = (f"new {step}",)

        def write(new=new):
            bundle.write(place, replace(result, notes=new), model, force=True)

        before = notes_at(place)
        finished = killed_at(step, write)
        step += 1
        if not place.exists():
            assert not exchange
            writing._sweep(place)
        assert notes_at(place) in {before, new}
        seen.add(notes_at(place) == new)
    assert step > 15
    assert seen == {True, False}
    write()
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_killed_at_any_change_of_a_first_write_nothing_or_all_is_there(model, result, place):
    finished, step = False, 0
    while not finished:
        finished = killed_at(step, lambda: bundle.write(place, result, model))
        step += 1
        if place.exists() and not finished:
            assert notes_at(place) == ("first",)
            break
    bundle.write(place, result, model, force=True)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_a_full_disk_at_any_sync_leaves_the_old_bundle_and_nothing_else(
    model, result, place, monkeypatch
):
    bundle.write(place, replace(result, notes=("old",)), model)
    fresh = replace(result, notes=("new",))
    real, failures = os.fsync, 0
    for step in range(100):
        calls = iter(range(1000))

        def full(descriptor, step=step, calls=calls):
            if next(calls) == step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        caught = attempt(lambda: bundle.write(place, fresh, model, force=True))
        if caught is None:
            break
        failures += 1
        assert "No space left on device" in caught
        assert "\n" not in caught
        assert notes_at(place) in {("old",), ("new",)}
        assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert failures >= 4
    assert notes_at(place) == ("new",)


def test_interrupting_leaves_nothing(model, result, place, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(place, result, model)
    assert list(place.parent.iterdir()) == []


def test_another_job_that_is_still_writing_is_left_alone(model, result, place):
    with writing._building(place) as theirs:
        bundle.write(place, result, model)
        assert theirs.is_dir()
    assert bundle.verify(place) == []
