"""Run a model file once with made-up inputs; only ever inside a native child."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ModelError
from edgekit.graph.structure import tensors_of

if TYPE_CHECKING:
    import onnx

Arrays = dict[str, NDArray[Any]]

_QUIET = 4
_LONGEST = 300
_MEMORY = re.compile("bad_alloc|bad allocation|[Ff]ailed to allocate|not enough memory")
_NUMPY = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


_WEIGHTS_BYTES = 100_000_000
"""Larger ones hold their weights themselves."""


def open_session(
    model: str | bytes, *, folder: Path | None = None, threads: int = 1, optimized: bool = True
) -> Any:
    """Return an onnxruntime session on the CPU that writes nothing to the terminal.

    Weights in files beside the model are mapped and stay there: onnxruntime would copy them into
    the form that its kernels like, all at once.

    Args:
        model: path, or the bytes of a model whose external data lies in `folder`.
        folder: see `model`.
        threads: of one operator.
        optimized: let onnxruntime optimize the graph.

    Raises:
        ModelError: onnxruntime refuses the model.
    """
    import onnxruntime  # noqa: PLC0415  # never in the host

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.enable_cpu_mem_arena = False
    if _has_files(model):
        options.add_session_config_entry("session.disable_prepacking", "1")
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder)
        )
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnxruntime has a class of exception per status
        raise _refusal(error, "session creation") from None


def expose(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Let a model answer these inner values, too, in place."""
    import onnx  # noqa: PLC0415  # as above

    present = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in present
    )


def _has_files(model: str | bytes) -> bool:
    """Say whether weights of a model (its path, or its bytes) lie in other files."""
    size = len(model) if isinstance(model, bytes) else Path(model).stat().st_size
    if size > _WEIGHTS_BYTES:
        return False
    import onnx  # noqa: PLC0415  # never in the host

    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    proto = onnx.ModelProto.FromString(data)
    return any(tensor.external_data for tensor, _ in tensors_of(proto))


def shapes_for(
    session: Any, shapes: dict[str, tuple[int, ...]], fill: int
) -> dict[str, tuple[int, ...]]:
    """Return a concrete shape for each input: the given one, else with dynamic axes filled.

    The first axis becomes 1 when dynamic, any other one `fill`.
    """
    return {
        spec.name: shapes.get(
            spec.name,
            tuple(
                d if isinstance(d, int) and d >= 0 else (fill if axis else 1)
                for axis, d in enumerate(spec.shape)
            ),
        )
        for spec in session.get_inputs()
    }


def random_inputs(session: Any, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """Return inputs of these shapes: floats from N(0, 1), integers 1 or 2; the same every time.

    Raises:
        ModelError: an input is no tensor of numbers.
    """
    inputs: Arrays = {}
    for spec in session.get_inputs():
        if spec.type not in _NUMPY:
            raise ModelError("input is no tensor of numbers", where=spec.name, found=spec.type)
        dtype = np.dtype(_NUMPY[spec.type])
        generator = np.random.default_rng(zlib.crc32(spec.name.encode()))
        shape = shapes[spec.name]
        if dtype.kind == "f":
            inputs[spec.name] = generator.standard_normal(shape, np.float32).astype(dtype)
        else:
            low = 0 if dtype.kind == "b" else 1
            inputs[spec.name] = generator.integers(low, low + 2, shape).astype(dtype)
    return inputs


def observe(
    path: Path, names: tuple[str, ...], shapes: dict[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and numpy type of inner values, read off one run at these input shapes.

    Raises:
        ModelError: the model does not run.
    """
    import onnx  # noqa: PLC0415  # never in the host's own code

    model = onnx.load(path, load_external_data=False).SerializeToString()
    found = fetch(model, names, shapes, folder=path.parent)
    return {name: (value.shape, value.dtype.name) for name, value in found.items()}


def fetch(
    model: bytes,
    names: tuple[str, ...],
    shapes: dict[str, tuple[int, ...]],
    *,
    folder: Path | None = None,
) -> Arrays:
    """Return inner values of one run with random inputs; those that are no numbers are left out.

    Args:
        model: a serialized model.
        names: of the values.
        shapes: of the inputs.
        folder: where the model's external data lies.

    Raises:
        ModelError: the model does not run.
    """
    import onnx  # noqa: PLC0415  # as above

    exposed = onnx.load_from_string(model)
    expose(exposed, names)
    session = open_session(exposed.SerializeToString(), folder=folder, optimized=False)
    inputs = random_inputs(session, shapes_for(session, shapes, fill=1))
    found = zip(
        (output.name for output in session.get_outputs()), run(session, inputs), strict=True
    )
    return {
        name: value
        for name, value in found
        if name in names and isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }


def run(session: Any, inputs: Arrays) -> list[NDArray[Any]]:
    """Return the outputs.

    Raises:
        ModelError: onnxruntime refuses; a memory limit is reported as such.
    """
    try:
        return list(session.run(None, inputs))
    except Exception as error:  # noqa: BLE001  # as in open_session
        raise _refusal(error, "a run") from None


def _refusal(error: Exception, where: str) -> Exception:
    message = _said(error)
    if isinstance(error, MemoryError) or _MEMORY.search(message):
        return MemoryError(message)
    return ModelError(message, where=where)


def _said(error: Exception) -> str:
    """Return onnxruntime's message without status codes and paths."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    text = re.sub(r"Load model from .*? failed: ?", "", text)
    message = " ".join(text.split())
    return message if len(message) <= _LONGEST else message[: _LONGEST - 3] + "..."
