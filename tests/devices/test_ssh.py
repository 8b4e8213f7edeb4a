import hashlib
import os
import signal
import threading
from pathlib import Path

import pytest

from edgekit.devices import ConnectionLostError, SshDevice, ask
from edgekit.errors import InfrastructureError

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1NdW1teUtleURvZXNOb3RCZWxvbmdUb0FueW9uZTA="


def opened(entry, **options):
    return SshDevice("board", entry, **options)


def printed(device, code, timeout_s=30.0):
    lines = []
    device.run([device.python, "-c", code], timeout_s=timeout_s, on_line=lines.append)
    return lines


@pytest.mark.parametrize("keys", [(), (OTHER_KEY,)], ids=["unknown", "changed"])
def test_only_the_pinned_key_is_believed(entry, keys):
    with (
        pytest.raises(InfrastructureError, match="edgekit device trust board") as caught,
        opened(entry.model_copy(update={"host_keys": keys})),
    ):
        raise AssertionError
    assert caught.value.exit_code == 4


def test_a_key_that_ssh_itself_trusts_is_not_enough(entry, board, monkeypatch):
    known = board.folder / "known"
    known.write_text(f"[127.0.0.1]:{board.port} {board.host_key}\n")
    config = board.folder / "trusting_config"
    lines = f"  UserKnownHostsFile {known}\n  NoHostAuthenticationForLocalhost yes\n"
    config.write_text((board.folder / "ssh_config").read_text() + lines)
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(config))
    changed = entry.model_copy(update={"host_keys": (OTHER_KEY,)})
    with pytest.raises(InfrastructureError, match="not the pinned one"), opened(changed):
        raise AssertionError


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/nowhere/python3", "no Python to run there"),
        ("too old", "too old.*3.6"),
        ("silent", "does not start there"),
    ],
)
def test_a_wrong_python_is_said_before_anything_is_sent(entry, board, monkeypatch, python, says):
    monkeypatch.setattr("edgekit.devices.ssh_start._PAUSE_S", 0)
    if python == "too old":
        python = board.python("printf 'edgekit-python 3.6\\n'; exit 0")
    elif python == "silent":
        python = board.python("exit 1")
    before = sorted(board.home.rglob("*"))
    with (
        pytest.raises(InfrastructureError, match=says),
        opened(entry.model_copy(update={"python": python})),
    ):
        raise AssertionError
    assert sorted(board.home.rglob("*")) == before


def test_what_a_login_shell_prints_does_not_matter(entry, board):
    python = board.python("echo Welcome; echo '{\"beat\": 1}'")
    with opened(entry.model_copy(update={"python": python})) as device:
        assert printed(device, "print(1)")[-1] == "1"


def test_a_second_job_waits_and_is_told_for_whom(entry):
    told = []
    first = opened(entry)
    first.__enter__()
    with (
        pytest.raises(InfrastructureError, match=f"in use.*process {os.getpid()}, since"),
        opened(entry, wait_s=0),
    ):
        raise AssertionError
    with opened(entry, exclusive=False) as looking:
        assert f"process {os.getpid()}" in looking.opened()["held_by"]

    def tell(message):
        told.append(message)
        threading.Thread(target=first.__exit__).start()

    with opened(entry, tell=tell) as second:
        assert printed(second, "print(2)") == ["2"]
    assert "waiting for it" in told[0]


CUT = (
    "import os, sys, time\n"
    "again = os.path.exists('again')\n"
    "open('again', 'w').close()\n"
    "print('begun', flush=True)\n"
    "time.sleep(0 if again else 60)\n"
    "print('done')\n"
)


def test_a_connection_that_dies_is_made_again_and_the_call_runs_anew(entry, board):
    with opened(entry) as device:

        def cut(line):
            if board.cut() and line == "done":
                raise AssertionError

        argv = [device.python, "-c", CUT]
        with pytest.raises(ConnectionLostError):
            device.run(argv, timeout_s=60, on_line=cut)
        lines = []
        assert device.run(argv, timeout_s=60, on_line=lines.append).code == 0
        assert lines == ["begun", "done"]
        assert device.reconnections == 1


def test_what_had_ended_before_the_connection_died_is_not_done_twice(entry, board, monkeypatch):
    with opened(entry) as device:
        argv = [device.python, "-c", "open('count', 'a').write('x'); print('done')"]
        answer, counted = device._channel.answer, []

        def lost(*arguments):
            found = answer(*arguments)
            if "ended" in found and not counted:
                counted.append(found)
                raise ConnectionLostError("as if the last word were lost")
            return found

        monkeypatch.setattr(device._channel, "answer", lost)
        with pytest.raises(ConnectionLostError):
            device.run(argv, timeout_s=30, on_line=print)
        lines = []
        device.run(argv, timeout_s=30, on_line=lines.append)
        assert lines == ["done"]
        assert printed(device, "print(open('count').read())") == ["x"]


def test_another_boot_voids_the_job(entry):
    with opened(entry) as device:
        device._drop(in_order=False)
        device._opened = {**device._opened, "boot_id": "another"}
        with pytest.raises(InfrastructureError, match="restarted meanwhile"):
            device.folder()


def test_an_agent_that_is_killed_is_an_infrastructure_error(entry, board, monkeypatch):
    monkeypatch.setattr("edgekit.devices.agent_call._TRIES", 1)

    def kill(_done, _total):
        for process in board.agents("serve"):
            process.kill()

    with opened(entry) as device:
        fake = board.python(
            'case "$2" in screen) echo \'{"progress": [1, 2]}\'; exec sleep 60;; esac'
        )
        monkeypatch.setattr(device, "python", fake)
        with pytest.raises(InfrastructureError) as caught:
            ask(device, "screen", {}, timeout_s=60, progress=kill)
        assert caught.value.exit_code == 4


def test_nothing_runs_on_when_the_host_is_gone(entry, board):
    device = opened(entry)
    device.__enter__()
    began = threading.Event()
    code = "import time; print('begun', flush=True); time.sleep(60)"

    def run():
        with pytest.raises(InfrastructureError):
            device.run([device.python, "-c", code], timeout_s=60, on_line=lambda _: began.set())

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(20)
    os.kill(device._channel._process.pid, signal.SIGKILL)  # as kill -9 of the host ends it
    thread.join()
    assert board.wait_until_idle()
    with opened(entry, wait_s=5):
        pass
    device.__exit__()


class Pipe:
    """Changes what sftp leaves behind, as a cut or a bad disk would."""

    def __init__(self, monkeypatch, device, change, times):
        self.batches, self.times, self.change = [], times, change
        transfer = device._transfer().__class__
        self.real = transfer._batch
        monkeypatch.setattr(transfer, "_batch", self.patched())

    def patched(self):
        return lambda one, batch, *, timeout_s: self.batch(one, batch, timeout_s=timeout_s)

    def batch(self, one, batch, *, timeout_s):
        self.batches.append(batch)
        found = self.real(one, batch, timeout_s=timeout_s)
        if self.times:
            self.times -= 1
            part = Path(batch.split('"')[3])
            part.write_bytes(self.change(part.read_bytes()))
        return found


@pytest.fixture
def unlike(tmp_path):
    """A file that no cache has."""
    file = tmp_path / "model.onnx"
    file.write_bytes(os.urandom(300_000))
    return file


def test_an_upload_that_arrives_damaged_is_sent_once_more(connected, unlike, monkeypatch):
    pipe = Pipe(monkeypatch, connected, lambda content: b"x" + content[1:], times=1)
    assert Path(connected.put(unlike)).read_bytes() == unlike.read_bytes()
    assert len(pipe.batches) == 2


def test_an_upload_that_never_arrives_whole_is_given_up(connected, unlike, monkeypatch):
    Pipe(monkeypatch, connected, lambda content: content[:-1], times=2)
    with pytest.raises(InfrastructureError, match="not what was sent"):
        connected.put(unlike)


def test_an_upload_that_was_cut_is_resumed_by_the_next_job(entry, unlike, board, monkeypatch):
    digest = hashlib.sha256(unlike.read_bytes()).hexdigest()
    parts = board.home / "edgekit" / "parts"
    with opened(entry) as device:
        device.folder()
    (parts / f"{digest}.part").write_bytes(unlike.read_bytes()[:200_000])
    with opened(entry) as device:
        pipe = Pipe(monkeypatch, device, bytes, times=0)
        assert Path(device.put(unlike)).read_bytes() == unlike.read_bytes()
        assert pipe.batches[0].startswith("put -a ")
        assert not list(parts.iterdir())


@pytest.mark.parametrize("change", [bytes, lambda content: b"x" + content[1:]])
def test_an_upload_that_was_whole_but_not_taken_over_is(entry, unlike, board, monkeypatch, change):
    digest = hashlib.sha256(unlike.read_bytes()).hexdigest()
    parts = board.home / "edgekit" / "parts"
    with opened(entry) as device:
        device.folder()
    (parts / f"{digest}.part").write_bytes(change(unlike.read_bytes()))
    with opened(entry) as device:
        pipe = Pipe(monkeypatch, device, bytes, times=0)
        assert Path(device.put(unlike)).read_bytes() == unlike.read_bytes()
        assert len(pipe.batches) == (change is not bytes)
        assert not list(parts.iterdir())


def test_an_upload_that_cannot_be_resumed_begins_anew(entry, unlike, board, monkeypatch):
    digest = hashlib.sha256(unlike.read_bytes()).hexdigest()
    parts = board.home / "edgekit" / "parts"
    with opened(entry) as device:
        device.folder()
        part = parts / f"{digest}.part"
        part.write_bytes(unlike.read_bytes()[:200_000])
        pipe = Pipe(monkeypatch, device, bytes, times=0)
        grown = pipe.batch

        def grows(one, batch, *, timeout_s):
            if not pipe.batches:
                part.write_bytes(unlike.read_bytes() + b"more")
            return grown(one, batch, timeout_s=timeout_s)

        monkeypatch.setattr(device._transfer().__class__, "_batch", grows)
        assert Path(device.put(unlike)).read_bytes() == unlike.read_bytes()
        assert len(pipe.batches) == 2


def test_a_file_that_rots_in_the_cache_is_sent_again(entry, unlike, board):
    with opened(entry) as device:
        there = Path(device.put(unlike))
        rotten = bytes(reversed(there.read_bytes()))
        there.write_bytes(rotten)
    with opened(entry) as device:
        assert Path(device.put(unlike)).read_bytes() == unlike.read_bytes()


def test_a_full_disk_is_said_before_anything_is_sent(connected, unlike, monkeypatch):
    asked = connected._asked

    def full(command, key):
        found = asked(command, key)
        return {**found, "free_bytes": 1000} if key == "offer" else found

    monkeypatch.setattr(connected, "_asked", full)
    with pytest.raises(InfrastructureError, match="no room on the device"):
        connected.put(unlike)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{folder}/../../x", '{folder}/a" "/tmp/x', "{folder}/a\n!touch x", "{folder}"],
)
def test_only_the_jobs_own_files_are_fetched(connected, tmp_path, path):
    connected.folder()
    folder = connected._opened["folder"]
    with pytest.raises(InfrastructureError, match="not the job's"):
        connected.get(path.replace("{folder}", folder), tmp_path / "to")


def test_a_job_leaves_only_its_cache(entry, board, unlike):
    with opened(entry) as device:
        device.put(unlike)
        folder = Path(device.folder())
    assert board.wait_until_idle()
    assert not folder.parent.exists()


def test_names_of_files_are_never_read_by_a_shell(connected, tmp_path):
    file = tmp_path / "a b'\"$(touch x);*.onnx"
    file.write_text("1")
    there = Path(connected.put(file))
    assert (there.name, there.read_text()) == (file.name, "1")


@pytest.mark.parametrize("minor", range(8, 14))
def test_the_agents_life_over_there_needs_no_more_than_python_3_8(entry, minor):
    found = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python 3.{minor} here")
    with opened(entry.model_copy(update={"python": str(found[0])})) as device:
        assert printed(device, "import sys; print(sys.version_info[1])") == [str(minor)]


def test_an_unreachable_device_is_tried_three_times(entry, monkeypatch):
    monkeypatch.setattr("edgekit.devices.ssh_start._PAUSE_S", 0)
    told = []
    dead = entry.model_copy(update={"port": 1})
    with (
        pytest.raises(InfrastructureError, match="cannot be reached"),
        opened(dead, tell=told.append),
    ):
        raise AssertionError
    assert len(told) == 2
