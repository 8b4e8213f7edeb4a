"""Nothing phones home: onnxruntime's telemetry is off in every process that edgekit starts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "ORT_DISABLE_TELEMETRY"
STARTERS = {"Popen", "run", "call", "check_call", "check_output", "Process", "execve", "execv"}

OPENSSH = {"host_keys.py", "ssh_channel.py", "ssh_command.py", "transfer.py"}
"""Start OpenSSH and nothing else: what runs at its other end is the agent."""


def starts_of_processes(path):
    """Yield the line of each call in the file that starts a program."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = ast.unparse(node.func.value)
        if owner in {"subprocess", "multiprocessing", "os"} and node.func.attr in STARTERS:
            yield node.lineno


def test_the_search_finds_a_start(tmp_path):
    file = tmp_path / "starts.py"
    file.write_text("import subprocess\nsubprocess.run(['true'])\n")
    assert list(starts_of_processes(file)) == [2]


def where_it_must_be_off(path):
    """Return the file that must turn it off: the agent's children inherit it from its entry."""
    return path.parent / "main.py" if path.parent.name == "agent" else path


@pytest.mark.parametrize("folder", ["edgekit", "tools"])
def test_each_module_that_starts_a_process_turns_telemetry_off(folder):
    silent = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in OPENSSH
        for line in starts_of_processes(path)
        if VARIABLE not in where_it_must_be_off(path).read_text(encoding="utf-8")
    ]
    assert silent == []


def test_tests_and_scripts_turn_it_off():
    for name in ("tests/conftest.py", "tools/check"):
        assert VARIABLE in (ROOT / name).read_text(encoding="utf-8")


def test_the_native_child_has_it_off(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    script = (
        "import os; from edgekit import native\n"
        f"print(native.call('looking', os.getenv, '{VARIABLE}'))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "1"


def test_the_command_has_it_off(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    script = (
        "import atexit, os, sys\n"
        f"atexit.register(lambda: print('off', os.environ['{VARIABLE}']))\n"
        "from edgekit.cli import main\n"
        "main(['--version'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "off 1"
