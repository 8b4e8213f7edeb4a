"""The agent stands apart: old Python, the standard library, numpy and a runtime, nothing else."""

import ast
import sys
from pathlib import Path

import pytest

import edgekit

SOURCES = sorted((Path(edgekit.__file__).parent / "agent").glob("*.py"))
ALLOWED = sys.stdlib_module_names | {
    "numpy",
    "onnxruntime",
    "ai_edge_litert",
    "tflite_runtime",
}


def imported_by(path):
    """Yield the top-level names that the file imports, but for its neighbours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_there_is_an_agent():
    assert len(SOURCES) > 3


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_is_python_3_8(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_imports_nothing_that_a_device_lacks(path):
    assert set(imported_by(path)) <= ALLOWED
