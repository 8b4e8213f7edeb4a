"""Whether torch runs a student as onnxruntime does, asked before anything that takes long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit import native
from edgekit.dataset import Dataset
from edgekit.distillation.answers import Teacher
from edgekit.distillation.latent import Latent
from edgekit.distillation.packing import Array
from edgekit.errors import ModelError
from edgekit.graph import file_size
from edgekit.interpreter.extra import wait_quietly

_TIMEOUT_S = 300.0
_MEMORY_BYTES = 8 << 30
_ALIKE = 0.05


def check_student(student: Teacher, latents: Sequence[Latent], data: Dataset) -> None:
    """Return when torch and onnxruntime answer alike.

    Raises:
        ModelError: they do not; or the student has operators that are not covered.
    """
    native.call(
        "checking the student",
        _check,
        student,
        {one.read: one.integers.astype(np.float32) for one in latents},
        data,
        timeout_s=_TIMEOUT_S,
        memory_bytes=_MEMORY_BYTES + 6 * file_size(student.file),
    )


def _check(student: Teacher, integers: dict[str, Array], data: Dataset) -> None:
    """Do what `check_student` does; runs in a native child."""
    import onnx_ir as ir  # noqa: PLC0415  # only behind the native door

    wait_quietly()
    from edgekit.graph.trial import open_session, run  # noqa: PLC0415  # as above
    from edgekit.interpreter.network import Network  # noqa: PLC0415  # imports torch

    network = Network(ir.load(student.file))
    session = open_session(str(student.file))
    sample = next(data.samples())
    feeds = {student.inputs[name]: np.array(value)[None] for name, value in sample.items()}
    known = dict(zip((v.name for v in session.get_outputs()), run(session, feeds), strict=True))
    for name, value in network.run({**feeds, **integers}, list(student.outputs)).items():
        wanted, found = known[name], value.detach().numpy()
        scale = float(np.abs(wanted).max(initial=0.0)) or 1.0
        if found.shape != wanted.shape or not np.abs(found - wanted).max(initial=0.0) <= (
            _ALIKE * scale
        ):
            raise ModelError(
                "torch does not answer as onnxruntime does", where=f"output {name!r} of the student"
            )
