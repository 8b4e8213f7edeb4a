"""A torch module of the user's own becomes an ONNX graph, once; from then on it is like any other.

The module is made and traced in a native child, from the first samples of the data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.errors import ModelError
from edgekit.graph import Model, load
from edgekit.interpreter.extra import wait_quietly
from edgekit.reference import resolve

_TIMEOUT_S = 600.0
_MEMORY_BYTES = 8 << 30
_OPSET = 17


def exported(reference: str, teacher: Model, data: Dataset, workspace: Path) -> Model:
    """Return the graph of the module that `module:callable` returns.

    Args:
        reference: called without arguments.
        teacher: whose names its inputs and outputs get, in order.
        data: has the inputs.
        workspace: for a temporary file.

    Raises:
        UsageError: there is no such callable.
        ModelError: it returns no module, or torch cannot export that.
    """
    file = workspace / "exported.onnx"
    native.call(
        "exporting the student",
        _export,
        reference,
        ([spec.name for spec in teacher.inputs], [spec.name for spec in teacher.outputs]),
        data,
        file,
        timeout_s=_TIMEOUT_S,
        memory_bytes=_MEMORY_BYTES,
    )
    return load(file)


def _export(reference: str, names: tuple[list[str], list[str]], data: Dataset, file: Path) -> None:
    wait_quietly()
    import torch  # noqa: PLC0415  # only behind the native door

    torch.manual_seed(0)
    module = resolve(reference, where="--student")()
    if not isinstance(module, torch.nn.Module):
        raise ModelError("returns no torch module", where=reference, found=type(module).__name__)
    inputs, outputs = names
    pair = [sample for sample, _ in zip(data.samples(), range(2), strict=False)]
    feeds = tuple(torch.from_numpy(np.stack([one[name] for one in pair])) for name in inputs)
    try:
        torch.onnx.export(
            module.eval(),
            feeds,
            str(file),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (*inputs, *outputs)},
            opset_version=_OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ModelError("torch cannot export the module", where=reference, found=text) from error
