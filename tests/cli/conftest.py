"""The command line as a user types it: within this process, or as a process of its own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from edgekit.cli.main import main

_PLAIN = {"ORT_DISABLE_TELEMETRY": "1", "NO_COLOR": "1"}


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def _in_process(*arguments, cwd, **environment):
    """Call what `edgekit ARGS...` calls, with imports and native children that are warm."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "path", [*sys.path])
        for name, value in (_PLAIN | environment).items():
            patch.setenv(name, value)
        try:
            main([*map(str, arguments)])
        except SystemExit as end:
            return Ran(end.code, out.getvalue(), err.getvalue())
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _as_process(*arguments, cwd, **environment):
    """Start `edgekit ARGS...` as a shell does."""
    process = subprocess.run(
        [sys.executable, "-m", "edgekit", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **_PLAIN, **environment},
        timeout=300,
        check=False,
    )
    return Ran(process.returncode, process.stdout, process.stderr)


@pytest.fixture(scope="session")
def edgekit_in():
    """Run `edgekit ARGS...` in a folder and return code, stdout, stderr."""
    return lambda folder, *arguments, **others: _in_process(*arguments, cwd=folder, **others)


@pytest.fixture(scope="session")
def edgekit_process_in():
    """As `edgekit_in`, in a process of its own."""
    return lambda folder, *arguments, **others: _as_process(*arguments, cwd=folder, **others)


@pytest.fixture
def edgekit(edgekit_in, tmp_path):
    """As `edgekit_in`, in the test's folder where no other is said."""
    return lambda *arguments, cwd=tmp_path, **others: edgekit_in(cwd, *arguments, **others)


@pytest.fixture
def edgekit_process(edgekit_process_in, tmp_path):
    """As `edgekit`, in a process of its own."""
    return lambda *arguments, cwd=tmp_path, **others: edgekit_process_in(cwd, *arguments, **others)
