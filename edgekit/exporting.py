"""The TFLite form of a model, accepted only where LiteRT runs it and it answers as the model."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgekit import bench, graph, passes, tflite
from edgekit.applying import apply
from edgekit.bench.evaluating import Outputs
from edgekit.candidate import Candidate, Skip, StepRecord
from edgekit.dataset import Dataset, Subset
from edgekit.devices import Device, LocalDevice
from edgekit.errors import MissingExtraError, ModelError, OutputError, UsageError
from edgekit.graph import Model
from edgekit.job import Job
from edgekit.making import Made, make_candidates
from edgekit.passes import Context, Pass
from edgekit.runtimes import as_litert

FORMATS = ("onnx", "tflite")
FLOAT_SQNR_DB, INT8_SQNR_DB = 60.0, 25.0
_MARGIN_DB = 1.0
"""Between what onnxruntime makes of a quantized graph and what LiteRT makes of it."""
_COMPARED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A TFLite file that LiteRT has run.

    Attributes:
        record: what was quantized, and how far its answers are from the original's.
    """

    file: Path
    record: StepRecord


def check_format(format: str, out: Path | None = None) -> None:  # noqa: A002  # what the command calls it
    """Refuse a format that nobody writes, or a file named otherwise.

    Raises:
        UsageError: no such format, or `out` ends otherwise.
    """
    if format not in FORMATS:
        raise UsageError(
            "unknown format",
            where="--format",
            found=repr(format),
            expected=f"one of {', '.join(FORMATS)}",
        )
    if out is not None and (format == "tflite") != (out.suffix == ".tflite"):
        remedy = "add --format tflite" if out.suffix == ".tflite" else "name a .tflite file"
        raise UsageError("the name does not fit the format", where=str(out), remedy=remedy)


def check_ready(job: Job) -> None:
    """Refuse early what a conversion would lack.

    Raises:
        MissingExtraError: there is no converter, or no LiteRT where models run.
    """
    tflite.converter()
    with _device(job) as device:
        if device.environment().get("litert", "unavailable") != "unavailable":
            return
        raise MissingExtraError(
            "TFLite files cannot be run",
            where=f"on {device.name}",
            found="neither ai-edge-litert nor tflite-runtime",
            remedy="pip install 'edgekit-sdk[litert]'",
        )


def make_tflite_candidates(
    job: Job, original: Candidate, steps: Sequence[Pass], calibration: Dataset
) -> Made:
    """Apply the steps but quantize, then convert what they made: as float, and as int8 if asked.

    Where something was pruned, both the pruned and the unpruned model are converted. A form that
    the converter refuses, or that LiteRT answers otherwise with, is declined with its reason.

    Raises:
        ModelError: no form at all could be made.
    """
    before = make_candidates(
        job, original, [step for step in steps if step.name != "quantize"], calibration
    )
    pruned = [each for each in before.candidates if each.name.startswith("prune")]
    sources = [("", original, job.model)]
    sources += [(f"{each.name}-", each, before.models[each.name]) for each in pruned]
    forms = [("tflite", float_form)]
    forms += [("tflite-int8", int8_form)] * any(step.name == "quantize" for step in steps)
    made: list[Candidate] = []
    declined = list(before.declined)
    for prefix, parent, model in sources:
        for name, form in forms:
            try:
                exported = form(job, calibration, model)
            except ModelError as error:
                skip = Skip(where=f"{prefix}{name}", reason=str(error))
                declined.append(StepRecord(name="tflite", changed=False, skipped=(skip,)))
                continue
            made.append(_candidate(f"{prefix}{name}", exported, parent))
    if not made:
        raise ModelError(
            "no TFLite form",
            where=job.model.name,
            found=declined[len(before.declined)].skipped[0].reason,
        )
    of = {parent.name: model for _, parent, model in sources}
    models = {each.name: of[each.parent or original.name] for each in made}
    return Made(candidates=tuple(made), models=models, declined=tuple(declined))


def float_form(job: Job, calibration: Dataset, model: Model | None = None) -> Exported:
    """Return the float TFLite form of the job's model, or of `model`, a smaller one made of it.

    Raises:
        ModelError: the converter refuses it, or its answers differ from those of the float model
            at an SQNR under 60 dB.
    """
    original = model or job.model
    fixed = with_fixed_shapes(job, original)
    record = StepRecord(name="tflite")
    return _accepted(job, fixed, original, calibration, record, least_db=FLOAT_SQNR_DB)


def int8_form(job: Job, calibration: Dataset, model: Model | None = None) -> Exported:
    """Return the int8 TFLite form of the job's model, or of `model`, a smaller one made of it.

    Ranges, placement and biases are those of the quantize pass, in the form that LiteRT's
    kernels want; every operator that has such a kernel is quantized.

    Raises:
        ModelError: nothing in it can be quantized, the converter refuses it, or its answers
            differ from those of the float model at an SQNR under 25 dB.
    """
    original = model or job.model
    fixed = with_fixed_shapes(job, original)
    quantized, record = apply(
        passes.Quantize(min_sqnr_db=INT8_SQNR_DB + _MARGIN_DB), fixed, _context(job, calibration)
    )
    if not record.changed:
        raise ModelError(
            "there is no int8 form",
            where=job.model.name,
            found="; ".join(skip.reason for skip in record.skipped[:2]),
        )
    return _accepted(job, quantized, original, calibration, record, least_db=INT8_SQNR_DB)


def copy_out(file: Path, out: Path) -> None:
    """Copy a finished file to its place, which holds the old one, or nothing, until it is there.

    Raises:
        OutputError: it cannot be written.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.copyfile(file, part)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            "cannot be written", where=str(out), found=error.strerror or str(error)
        ) from error


def with_fixed_shapes(job: Job, model: Model) -> Model:
    """Return the model for just the shapes that the job runs it with, simplified for them.

    TFLite's converters and kernels want to know all shapes.
    """
    editable = model.editable()
    for value in editable.graph.inputs:
        if value.name in job.running.shapes:
            value.shape = ir.Shape(job.running.shapes[value.name])
    result, _record = apply(
        passes.Simplify(), Model(ir=editable, name=model.name), _context(job, None)
    )
    return result


def _candidate(name: str, exported: Exported, parent: Candidate) -> Candidate:
    return Candidate(
        name=name,
        file=exported.file,
        sha256=graph.file_sha256(exported.file),
        size_bytes=graph.file_size(exported.file),
        steps=(*parent.steps, exported.record),
        parent=parent.name,
    )


def _context(job: Job, calibration: Dataset | None) -> Context:
    return Context(
        target=as_litert(job.running.target),
        data=calibration,
        latencies_of=lambda _models, _effort: None,
        workspace=job.workspace,
        threads=job.running.threads,
        batch=job.running.batch,
        shapes=job.running.shapes,
        progress=job.progress,
    )


def _accepted(
    job: Job,
    model: Model,
    original: Model,
    calibration: Dataset,
    record: StepRecord,
    *,
    least_db: float,
) -> Exported:
    """Convert `model`, run it beside `original`, and refuse it when the answers differ."""
    job.progress("converting to TFLite", 0, 0)
    folder = Path(tempfile.mkdtemp(prefix="tflite-", dir=job.workspace))
    conversion = tflite.convert(model, folder)
    reference = folder / "original.onnx"
    graph.save(original, reference)
    job.progress("comparing answers under LiteRT", 0, 0)
    theirs, ours = _answers(job, (reference, conversion.file), calibration)
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        found_db, found = -math.inf, f"outputs of shapes {_shapes(ours)} and not {_shapes(theirs)}"
    else:
        found_db = bench.sqnr_db(ours, theirs)
        found = f"an SQNR of {found_db:.1f} dB on {len(theirs[0])} samples"
    if found_db < least_db:
        raise ModelError(
            "the TFLite form answers otherwise than the model",
            where=job.model.name,
            found=found,
            expected=f"{least_db:g} dB or more",
            remedy="ship the ONNX form",
        )
    facts: dict[str, Any] = {**record.facts, "sqnr_db under LiteRT": round(found_db, 1)}
    if conversion.kernels:
        facts["int8 kernels"] = conversion.kernels
    return Exported(file=conversion.file, record=replace(record, facts=facts))


def _shapes(outputs: Outputs) -> str:
    return ", ".join("x".join(map(str, each.shape[1:])) for each in outputs)


@contextmanager
def _device(job: Job) -> Iterator[Device]:
    """Give what runs models: the job's device, or this host where there is none."""
    if job.device is not None:
        yield job.device
    else:
        with LocalDevice() as host:
            yield host


def _answers(job: Job, files: Sequence[Path], calibration: Dataset) -> list[Outputs]:
    data = Subset(calibration, tuple(range(min(_COMPARED, len(calibration)))))
    with _device(job) as device:
        return [
            bench.evaluate(
                device, file, data, target=job.running.target, threads=job.running.threads
            )
            for file in files
        ]
