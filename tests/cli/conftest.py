"""The real command, as a user runs it."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest


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


@pytest.fixture
def edgekit(tmp_path):
    """Run `edgekit ARGS...` in the test's folder and return code, stdout, stderr."""

    def run(*arguments, cwd=None, **environment):
        process = subprocess.run(
            [sys.executable, "-m", "edgekit", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd or tmp_path,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "NO_COLOR": "1", **environment},
            timeout=300,
            check=False,
        )
        return Ran(process.returncode, process.stdout, process.stderr)

    return run


def tree(folder):
    """Every file below `folder` with its bytes: what must not change on bad input."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
