import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.devices import agent_archive

PYTHON_3_8 = Path.home() / ".pyenv/versions/3.8.18/bin/python"


def test_the_archive_is_small_and_named_by_what_it_holds(archive, tmp_path):
    again = agent_archive(tmp_path)
    assert again.read_bytes() == archive.read_bytes()
    assert again.name == archive.name
    assert archive.stat().st_size < 100_000


def sources(archive):
    with zipfile.ZipFile(archive) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def test_the_agent_imports_the_standard_library_numpy_and_a_runtime_alone(archive):
    allowed = set(sys.stdlib_module_names) | {
        *("numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime", "edgekit_agent")
    }
    for name, source in sources(archive).items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert str(node.module).split(".")[0] in allowed, name


def test_the_agent_is_python_3_8(archive):
    for name, source in sources(archive).items():
        ast.parse(source, filename=name, feature_version=(3, 8))


@pytest.mark.skipif(not PYTHON_3_8.exists(), reason="no Python 3.8 on this machine")
def test_the_agent_says_on_python_3_8_what_the_device_lacks(archive):
    done = subprocess.run(
        [PYTHON_3_8, archive, "check", "-"],
        input="{}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    environment = json.loads(done.stdout)["environment"]
    assert environment["python"] == "3.8.18"
    assert environment["numpy"] == "unavailable" or environment["numpy"][0].isdigit()


@pytest.mark.skipif(not PYTHON_3_8.exists(), reason="no Python 3.8 on this machine")
def test_every_module_compiles_on_python_3_8(archive, tmp_path):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    subprocess.run([PYTHON_3_8, "-m", "compileall", "-q", tmp_path], check=True)
