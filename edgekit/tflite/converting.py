"""Running onnx2tf: a subprocess with the user's own Python, in a private folder, under limits.

What it made is only a claim: whoever asks for it runs it and compares (`edgekit.exporting`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit import graph
from edgekit.errors import MissingExtraError, ModelError, UsageError, printable
from edgekit.graph import Model
from edgekit.scratch import lasting

ENVIRONMENT = "EDGEKIT_ONNX2TF"
RECIPE = (
    "python3.12 -m venv onnx2tf-env && onnx2tf-env/bin/pip install 'onnx2tf>=2' && "
    f"export {ENVIRONMENT}=$PWD/onnx2tf-env/bin/python"
)
_PROGRAM = Path(__file__).parent / "program"
_PACKAGE = "edgekit_int8_form"
_OURS = frozenset(("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"))
_LEAST_VERSION = 2
_ASK_S = 60.0
_TIMEOUT_S = 1800.0
_FILE_BYTES = 8 << 30
_LONGEST = 300
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Exit|Interrupt): .+")
_PROGRESS = re.compile(r"\d+%\||it/s|write timing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A TFLite file that nobody has run yet.

    Attributes:
        kernels: how many kernels of each kind compute in int8, by TFLite's names.
    """

    file: Path
    kernels: dict[str, int] = field(default_factory=dict)


def converter() -> str:
    """Return the Python that has onnx2tf.

    Raises:
        MissingExtraError: the user named none.
        UsageError: there is no such program.
    """
    named = os.environ.get(ENVIRONMENT, "")
    if not named:
        raise MissingExtraError(
            "TFLite needs onnx2tf in an environment of its own",
            where=ENVIRONMENT,
            found="not set",
            remedy=f"make one: {RECIPE}",
        )
    python = shutil.which(os.path.expanduser(named))  # noqa: PTH111  # a name for which, no path
    if python is None:
        raise UsageError(
            "no such program",
            where=ENVIRONMENT,
            found=repr(named),
            expected="the python of an environment with onnx2tf",
        )
    return str(Path(python).absolute())


def converter_version() -> str:
    """Return what the user's environment has, e.g. `onnx2tf 2.6.9`.

    Raises:
        MissingExtraError: the user named none.
        UsageError: there is no such program, or it has no onnx2tf 2.
    """
    python = converter()
    ask = "import importlib.metadata as m, ai_edge_litert, flatbuffers; print(m.version('onnx2tf'))"
    try:
        asked = subprocess.run(
            [python, "-c", ask],
            capture_output=True,
            text=True,
            env=_variables(),
            timeout=_ASK_S,
            check=False,
        )
        said = (asked.stdout if asked.returncode == 0 else asked.stderr).strip().splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError("cannot be asked", where=python, found=str(error)) from error
    version = said[-1] if said else "nothing"
    if asked.returncode or int(version.partition(".")[0]) < _LEAST_VERSION:
        raise UsageError(
            "not an environment with onnx2tf", where=python, found=version, expected="onnx2tf 2"
        )
    return f"onnx2tf {version} by {python}"


def convert(model: Model, folder: Path) -> Conversion:
    """Convert `model`, whose input shapes are all fixed, into a TFLite file in `folder`.

    Where the graph is quantized its kernels compute in int8. Inputs and outputs keep names,
    order and type (float); images get their channels last, as TFLite's kernels want them.

    Args:
        model: a float graph, or one with QuantizeLinear and DequantizeLinear.
        folder: empty, private to this call.

    Raises:
        MissingExtraError: the user named no environment with onnx2tf.
        ModelError: the converter refuses the model, fails, or makes no file.
    """
    python = converter()
    source, made = folder / "model.onnx", folder / "converted"
    graph.save(model, source)
    keep = [spec.name for spec in model.inputs if _looks_the_same(spec.shape or ())]
    arguments = ["-i", str(source), "-o", str(made), "-coion", "-n"]
    _run([python, "-m", "onnx2tf", *arguments, *(["-kat", *keep] if keep else [])], folder, model)
    found = made / "model_float32.tflite"
    if not found.is_file():
        raise _refusal("it wrote no TFLite file", folder / "log", model)
    shutil.copytree(_PROGRAM, folder / _PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    names = [json.dumps([each.name for each in of]) for of in (model.inputs, model.outputs)]
    out = folder / "model.tflite"
    _run([python, "-m", _PACKAGE, str(found), str(out), *names], folder, model)
    shutil.rmtree(made)
    return Conversion(file=out, kernels=json.loads(_lines(folder / "log")[-1]))


def _looks_the_same(shape: Sequence[int | str]) -> bool:
    """Say whether a shape does not tell where its channels are."""
    return len(shape) > 2 and len(set(shape[1:])) == 1  # noqa: PLR2004  # batch, channels, one more


def _run(argv: Sequence[str], folder: Path, model: Model) -> None:
    """Run a program of the environment to its end; what it says goes to `log` in the folder."""
    log = folder / "log"
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_variables(),
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError("cannot be started", where=argv[0], found=str(error)) from error
        try:
            _limit(process.pid)
            code = process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise _refusal(f"no end within {_TIMEOUT_S:g} s", log, model) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise _refusal(_complaint(log, code), log, model)


def _variables() -> dict[str, str]:
    """Return the environment variables of a Python that is not ours."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**kept, "ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _limit(pid: int) -> None:
    """Limit memory to what the machine has, and files to 8 GiB (Linux; elsewhere nothing)."""
    if sys.platform != "linux":
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (memory, memory))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def _complaint(log: Path, code: int) -> str:
    """Return what went wrong in the converter's words: the first error, which caused the rest."""
    if code < 0:
        return f"it was ended by signal {-code}"
    lines = _lines(log)
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines[-1:] or [f"it ended with code {code}"])[0][:_LONGEST]


def _lines(log: Path) -> list[str]:
    text = printable(log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n"))
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not _PROGRESS.search(line)]


def _refusal(complaint: str, log: Path, model: Model) -> ModelError:
    """Return the error that tells of a failed conversion; the log outlives the private folder."""
    with (
        tempfile.NamedTemporaryFile(
            prefix="edgekit-onnx2tf-", suffix=".log", dir=lasting(), delete=False
        ) as kept,
        contextlib.suppress(OSError),
    ):
        kept.write(log.read_bytes())
    return ModelError(
        "onnx2tf cannot convert the model",
        where=model.name,
        found=complaint,
        remedy=f"see {kept.name}",
    )
