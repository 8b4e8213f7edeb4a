"""A small model file and the result of a job on it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.candidate import Candidate, Skip, StepRecord
from edgekit.judging import judge
from edgekit.measurement import Accuracy, Measurement, Setup
from edgekit.release import Budget, Step
from edgekit.result import Plan, Result


def save_model(file, *, value=1.0, external=None):
    """Write y = x + weight."""
    weight = numpy_helper.from_array(np.full((4,), value, np.float32), "weight")
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Add", ["x", "weight"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
            [weight],
        )
    )
    if external:
        onnx.save(model, file, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, file)
    return file


def result_for(file, *, note="first"):
    """The result of a job that chose `file` as its quantized candidate."""
    candidate = Candidate(
        name="quantize",
        file=file,
        sha256=graph.file_sha256(file),
        size_bytes=graph.file_size(file),
        steps=(
            StepRecord(
                name="quantize",
                params={"method": "auto"},
                skipped=(Skip(where="stem", reason="slower in int8"),),
                facts={"share": np.float32(0.5), "units": np.int64(3)},
            ),
        ),
        parent="original",
    )
    original = Candidate(name="original", file=file, sha256="a" * 64, size_bytes=100)
    measurement = Measurement(
        candidate="quantize",
        sha256=candidate.sha256,
        size_bytes=candidate.size_bytes,
        original_sha256="a" * 64,
        original_size_bytes=100,
        setup=Setup(
            target="x86", device=None, runtime="none", threads=1, batch=1, shapes={"x": (4,)}
        ),
        accuracy=Accuracy(
            metric="top1",
            better="higher",
            values=(1.0, 0.0),
            original_values=(1.0, 1.0),
            agreement=0.5,
            sqnr_db=float("inf"),
            labelled=True,
            simulated=True,
        ),
    )
    budgets = (Budget.parse("size<=1MiB"), Budget.parse("latency.p95<=1ms"))
    verdict = judge(measurement, budgets)
    return Result(
        model="net.onnx",
        original_sha256="a" * 64,
        target="x86",
        plan=Plan(
            profile="quantize-only",
            steps=(Step(name="quantize"),),
            objective="latency.p50",
            metric="top1",
            budgets=budgets,
        ),
        candidates=(original, candidate),
        measurements=(measurement,),
        verdicts=(verdict,),
        chosen="quantize",
        reason="nothing was timed",
        ruling=verdict.ruling,
        notes=(note,),
    )


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "workspace"
    folder.mkdir()
    return save_model(folder / "made.onnx")


@pytest.fixture
def result(model):
    return result_for(model)


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "net-x86.bundle"


@pytest.fixture
def save_external(tmp_path):
    """Writes a model with external data at the given location, and its result."""

    def save(location):
        folder = tmp_path / "external"
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        file = save_model(folder / "made.onnx", external=location)
        return file, result_for(file)

    return save


@pytest.fixture
def save_other():
    """Writes another model over the given file."""
    return lambda file: save_model(file, value=2.0)
