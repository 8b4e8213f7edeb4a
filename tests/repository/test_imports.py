"""What importing edgekit costs, and what it must never pull in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit

PACKAGE = Path(edgekit.__file__).parent
TRAINING = "edgekit.interpreter"
LEARNING = {
    f"edgekit.distillation.{name}"
    for name in ("hints", "learner", "lesson", "objective", "training")
}
WITHOUT_TORCH = {"edgekit.interpreter", "edgekit.interpreter.extra", "edgekit.interpreter.weights"}
"""What of the interpreter the host imports."""


def modules():
    """Every module but those that stand apart, and those that run when imported."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if not {"agent", "program"} & set(parts) and parts[-1] != "__main__":
            yield ".".join(parts).removesuffix(".__init__")


def loaded_after(code, *arguments):
    """Run `code` in a fresh interpreter and return the names of what it imported."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


IMPORT_ALL = """
import importlib, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "accelerate"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, NoTorch())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def after_importing_everything():
    without = (m for m in modules() if m in WITHOUT_TORCH or not m.startswith(TRAINING))
    wanted = (m for m in without if m not in LEARNING)
    return loaded_after(IMPORT_ALL, *wanted)


def test_every_module_but_those_that_train_imports_without_torch(after_importing_everything):
    assert "edgekit.passes" in after_importing_everything
    assert "torch" not in after_importing_everything


def test_torch_is_really_blocked():
    with pytest.raises(AssertionError, match="torch is blocked"):
        loaded_after(IMPORT_ALL, "torch")


def test_no_module_brings_onnxruntime_into_the_host_process(after_importing_everything):
    assert "onnxruntime" not in after_importing_everything


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"]])
def test_answers_without_reading_data_need_no_heavy_import(arguments):
    loaded = loaded_after(
        "import contextlib, sys\n"
        "from edgekit.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):\n"
        "    main(sys.argv[1:])",
        *arguments,
    )
    heavy = {"numpy", "scipy", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "pydantic", "PIL"}
    assert "edgekit.cli.main" in loaded
    assert loaded & heavy == set()


def test_no_module_bears_the_name_of_a_public_function():
    functions = {name for name in edgekit.__all__ if name.islower()}
    assert "optimize" in functions
    tops = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert functions & tops == set()


def test_every_public_name_exists():
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
