"""What a killed command leaves behind goes with the next one, and nothing else does."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from edgekit import scratch
from edgekit.scratch import Scratch

LIVING = """
import sys, tempfile
from edgekit import scratch

with scratch.one_for_all():
    print(tempfile.mkdtemp(prefix="edgekit-device-"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process at work in a folder of temporary files, and a file of its."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    made = Path(process.stdout.readline().strip())
    (made / "weights").write_bytes(b"1" * 1000)
    yield process, made
    process.kill()
    process.communicate()


def test_a_killed_commands_files_go_with_the_next_command(other, edgekit, tmp_path):
    process, made = other
    assert made.parent.parent == tmp_path
    assert edgekit("target", "list").code == 0
    assert made.exists()
    process.kill()
    process.wait()
    assert edgekit("target", "list").code == 0
    assert not made.parent.exists()


def test_only_folders_of_its_own_kind_and_making_go(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    users = tmp_path / "edgekit-run-mine"
    users.mkdir()
    (tmp_path / "edgekit-run-link").symlink_to(elsewhere)
    (tmp_path / "edgekit-device-x").mkdir()
    (tmp_path / "edgekit-device-x" / ".lock").touch()
    Scratch("edgekit-run-", tmp_path).close()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"elsewhere", "edgekit-run-mine", "edgekit-run-link", "edgekit-device-x"}


def test_many_at_once_never_take_each_others(tmp_path):
    made, errors = [], []

    def work():
        try:
            for _ in range(20):
                own = Scratch("edgekit-run-", tmp_path)
                (own.path / "file").write_text("1")
                assert (own.path / ".lock").exists()
                made.append(own.path)
                own.close()
        except Exception as error:  # noqa: BLE001  # a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(set(made)) == 80
    assert not list(tmp_path.iterdir())


def test_temporary_files_lie_together_while_a_command_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch.one_for_all():
        inner = Path(tempfile.mkdtemp())
        assert inner.parent.parent == tmp_path == scratch.lasting()
    assert tempfile.gettempdir() == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_room_for_a_folder_a_command_still_runs(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with scratch.one_for_all():
        assert scratch.lasting() == Path(tempfile.gettempdir())
