import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.graph.room import Room

CRASH = """
import os
from edgekit.graph.room import Room
room = Room()
(room.path / "weights").write_bytes(bytes(100))
print(room.path, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_rooms_are_private_and_go():
    room = Room()
    assert room.path.stat().st_mode & 0o777 == 0o700
    room.close()
    assert not room.path.exists()


def test_what_a_killed_process_left_is_swept():
    done = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert (left / "weights").exists()
    living = Room()
    assert not left.exists()
    other = Room()
    assert living.path.exists(), "the living keep theirs"
    for room in (living, other):
        room.close()


def test_strangers_folders_stay(tmp_path):
    (tmp_path / "edgekit-room-x").mkdir()
    (tmp_path / "edgekit-room-x" / "mine").write_text("")
    Room().close()
    assert (tmp_path / "edgekit-room-x" / "mine").exists()
