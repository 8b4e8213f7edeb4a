import os
import sys
import time
from pathlib import Path

import pytest

from edgekit.devices import ask, open_device
from edgekit.errors import InfrastructureError, UsageError


def run(device, code, timeout_s=30.0):
    lines = []
    finished = device.run([device.python, "-c", code], timeout_s=timeout_s, on_line=lines.append)
    return finished, lines


def test_lines_arrive_in_order_and_the_exit_code_with_them(device):
    finished, lines = run(device, "print('a\\nb'); print('c', end=''); raise SystemExit(3)")
    assert lines == ["a", "b", "c"]
    assert finished.code == 3


def test_the_end_of_standard_error_is_kept(device):
    finished, _ = run(device, "import sys; sys.stderr.write('x' * 10000 + 'the cause')")
    assert finished.complaint.endswith("the cause")
    assert len(finished.complaint) < 5000


def test_a_command_without_end_is_killed_with_all_that_it_started(device):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    lines = []
    with pytest.raises(InfrastructureError, match="no end within"):
        device.run([device.python, "-c", code], timeout_s=1.0, on_line=lines.append)
    if lines:
        assert ended(int(lines[0]))


def ended(pid):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (OSError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_is_not_there_is_an_error(device):
    with pytest.raises(InfrastructureError, match="cannot start"):
        device.run(["/nowhere/python"], timeout_s=1.0, on_line=print)


def test_files_are_put_by_content_and_side_by_side(device, tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = device.put(tmp_path / "a", tmp_path / "b")
    assert device.put(tmp_path / "a", tmp_path / "b") == first
    (tmp_path / "b").write_text("3")
    assert device.put(tmp_path / "a", tmp_path / "b") != first
    device.get(str(Path(first).with_name("b")), tmp_path / "c")
    assert (tmp_path / "c").read_text() == "2"


def test_a_file_that_is_not_there_cannot_be_fetched(device, tmp_path):
    with pytest.raises(InfrastructureError, match="cannot fetch"):
        device.get(device.folder() + "/nothing", tmp_path / "to")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_device("local") as device:
        device.folder()
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_device_says_what_it_is(device):
    assert "CPUExecutionProvider" in device.providers()
    assert device.environment()["machine"] in device.describe()


@pytest.mark.parametrize(
    ("code", "says"), [("print('hello')", "cannot be read"), ("raise SystemExit(7)", "code 7")]
)
def test_what_is_no_agent_is_found_out(device, monkeypatch, tmp_path, code, says):
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(device, "python", str(fake))
    with pytest.raises(InfrastructureError, match=says):
        ask(device, "check", {}, timeout_s=30)


def test_an_unknown_device_is_a_usage_error():
    with pytest.raises(UsageError, match="unknown device"):
        open_device("toaster")
