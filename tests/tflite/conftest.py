import sys
import tempfile

import pytest

_HEAD = """#!{python}
import json, os, pathlib, shutil, signal, sys, time
arguments = sys.argv[1:]
converting = arguments[:2] == ["-m", "onnx2tf"]
out = pathlib.Path(arguments[arguments.index("-o") + 1]) if converting else None
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Have a script stand in for the Python that has onnx2tf; logs go to the test's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def play(body):
        script = tmp_path / "python"
        script.write_text(_HEAD.format(python=sys.executable) + body)
        script.chmod(0o755)
        monkeypatch.setenv("EDGEKIT_ONNX2TF", str(script))

    return play
