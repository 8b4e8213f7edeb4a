"""Everything that must hold before a model file is believed; runs inside a native child."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import native
from edgekit.errors import ModelError
from edgekit.graph import external, structure, trial
from edgekit.graph.external import DataFile

if TYPE_CHECKING:
    import onnx

_GUESSES = (32, 64, 224, 8, 1)
_SMALL_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What reading the file found.

    Attributes:
        sha256: of the bytes of the model file that were read.
        external: data files, each verified.
    """

    sha256: str
    external: tuple[DataFile, ...]


def read(path: Path, follow_links: bool) -> Read:  # noqa: FBT001  # arguments of a native call
    """Check the structure of a model file and where its external data lies.

    Raises:
        ModelError: the first thing that does not hold.
    """
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    model = parse(data)
    del data
    structure.check_structure(model)
    return Read(sha256=sha256, external=_check_tensors(model, path, follow_links=follow_links))


def try_out(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Take a structurally sound model through ONNX's checker, shape inference and one run.

    Where axes are dynamic, a run that the runtime refuses does not refuse the model: the guess
    may be at fault. It must only neither crash, nor hang, nor take all memory.

    Raises:
        ModelError: the first thing that does not hold, with the part of the trial.
    """
    import onnx  # noqa: PLC0415  # never in the host's own code

    native.at("ONNX checker")
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ModelError(_first_line(error), where="ONNX checker") from None
    native.at("shape inference")
    _infer(parse(path.read_bytes()))
    native.at("session creation")
    session = trial.open_session(str(path))
    native.at("a run")
    _try(session, shapes)


def parse(data: bytes) -> onnx.ModelProto:
    """Return the model in `data`.

    Raises:
        ModelError: it is no ONNX protobuf, or one that was cut off.
    """
    import onnx  # noqa: PLC0415  # slow to import

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # noqa: BLE001  # protobuf's DecodeError, whose stubs nobody has
        raise ModelError("is no ONNX model, or a truncated one") from None
    if not model.HasField("graph") and not model.ir_version:
        raise ModelError("is no ONNX model")
    return model


def _check_tensors(
    model: onnx.ModelProto, path: Path, *, follow_links: bool
) -> tuple[DataFile, ...]:
    import onnx  # noqa: PLC0415  # as above

    files: dict[str, DataFile] = {}
    for tensor, where in structure.tensors_of(model):
        is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if tensor.external_data and not is_external:
            raise ModelError("tensor holds its data twice", where=where)
        structure.check_tensor(tensor, where, external=is_external)
        if is_external:
            span = external.span_of(tensor, where)
            file = external.resolve(path, span, where=where, follow_links=follow_links)
            needed = structure.tensor_bytes(tensor, where)
            external.check_extent(file, span, where=where, needed_bytes=needed)
            files[file.location] = file
    return tuple(files.values())


def _infer(model: onnx.ModelProto) -> None:
    """Run strict inference on the model without its weights, to see that it comes back.

    What it complains of is no refusal: the runtime decides, and it accepts more.
    """
    import onnx  # noqa: PLC0415  # as above

    kept = []
    listed = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        external_data = tensor.data_location == onnx.TensorProto.EXTERNAL
        if tensor.ByteSize() <= _SMALL_BYTES and not external_data:
            kept.append(tensor)
        elif tensor.name not in listed:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    small = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return


def _try(session: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    for fill in _GUESSES:
        concrete = trial.shapes_for(session, shapes, fill)
        inputs = trial.random_inputs(session, concrete)
        try:
            trial.run(session, inputs)
        except ModelError:
            if concrete == trial.shapes_for(session, shapes, fill + 1):
                raise
        else:
            return


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n", maxsplit=1)[0].split())[:300]
