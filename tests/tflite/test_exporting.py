"""What a converter made is accepted by its answers under LiteRT, and by nothing else."""

import importlib.util
import os

import numpy as np
import pytest
from tiny_model import ROUNDED, TFLITE, images, write_rich, write_tiny

import edgekit
from edgekit import bundle, graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.errors import ModelError, UsageError
from edgekit.exporting import check_ready, float_form, int8_form, make_tflite_candidates
from edgekit.job import Conditions, open_job, original_candidate, silent
from edgekit.runtimes import as_litert

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra litert"
)
_CONVERTER = """
if converting:
    out.mkdir()
    quantized = b"QuantizeLinear" in (out.parent / "model.onnx").read_bytes()
    source = {rounded!r} if quantized else {plain!r}
    if source is None:
        sys.exit("NotImplementedError: no such operator")
    shutil.copy(source, out / "model_float32.tflite")
else:
    os.execv(sys.executable, [sys.executable, *arguments])
"""


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "images.npz", image=images())
    return tmp_path / "images.npz"


@pytest.fixture
def job(tmp_path, data):
    opened = []

    def open_it(file):
        model = graph.load(file)
        conditions = Conditions(device=None, threads=1, batch=1, shapes=None, progress=silent)
        calibration = open_data(data, model)
        target = as_litert(targets.load("x86"))
        context = open_job(file, model, target, conditions, data=calibration)
        opened.append(context)
        return context.__enter__(), calibration

    yield open_it
    for context in opened:
        context.__exit__(None, None, None)


def converter(*, plain, rounded=None):
    paths = {"plain": plain and str(plain), "rounded": rounded and str(rounded)}
    return _CONVERTER.format(**paths)


def test_a_float_form_that_answers_as_the_model_is_accepted(stand_in, job, tmp_path):
    stand_in(converter(plain=TFLITE))
    running, calibration = job(write_tiny(tmp_path / "tiny.onnx"))
    check_ready(running)
    made = float_form(running, calibration)
    assert made.file.suffix == ".tflite"
    assert made.record.facts["sqnr_db under LiteRT"] > 100


def test_a_form_that_answers_otherwise_is_refused_though_the_converter_was_content(
    stand_in, job, tmp_path
):
    stand_in(converter(plain=TFLITE))
    running, calibration = job(write_rich(tmp_path / "rich.onnx"))
    with pytest.raises(ModelError, match=r"SQNR of -?\d.* expected 60 dB or more"):
        float_form(running, calibration)


def test_the_int8_form_computes_in_int8(stand_in, job, tmp_path):
    stand_in(converter(plain=TFLITE, rounded=ROUNDED))
    running, calibration = job(write_rich(tmp_path / "rich.onnx"))
    made = int8_form(running, calibration)
    assert made.record.facts["sqnr_db under LiteRT"] > 25
    assert made.record.facts["int8 kernels"]["CONV_2D"] == 2


def test_forms_that_fail_are_declined_with_their_reason_and_none_is_an_error(
    stand_in, job, tmp_path
):
    stand_in(converter(plain=None, rounded=ROUNDED))
    file = write_rich(tmp_path / "rich.onnx")
    running, calibration = job(file)
    original, steps = original_candidate(file), (passes.Simplify(), passes.Quantize())
    made = make_tflite_candidates(running, original, steps, calibration)
    assert [each.name for each in made.candidates] == ["tflite-int8"]
    assert "no such operator" in made.declined[-1].skipped[0].reason
    with pytest.raises(ModelError, match="no such operator"):
        make_tflite_candidates(running, original, (passes.Simplify(),), calibration)


def test_a_file_is_written_whole_and_named_by_its_kind(stand_in, tmp_path, data):
    stand_in(converter(plain=TFLITE, rounded=ROUNDED))
    model, out = write_rich(tmp_path / "rich.onnx"), tmp_path / "out.tflite"
    with pytest.raises(UsageError, match=r"name a \.tflite file"):
        edgekit.quantize(model, target="x86", data=data, out=tmp_path / "o.onnx", format="tflite")
    with pytest.raises(UsageError, match="add --format tflite"):
        edgekit.quantize(model, target="x86", data=data, out=out)
    with pytest.raises(UsageError, match="jetson is not served"):
        edgekit.quantize(model, target="jetson", data=data, out=out, format="tflite")
    record = edgekit.quantize(model, target="arm-cpu", data=data, out=out, format="tflite")
    assert record.changed
    assert out.read_bytes()[4:8] == b"TFL3"
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.slow
@pytest.mark.skipif("EDGEKIT_ONNX2TF" not in os.environ, reason="needs onnx2tf")
def test_the_real_converter_makes_both_forms_and_the_better_is_bundled(tmp_path, data):
    model, out = write_rich(tmp_path / "rich.onnx"), tmp_path / "rich.bundle"
    result = edgekit.optimize(model, target="x86", data=data, format="tflite", out=out)
    assert [each.name for each in result.candidates] == ["original", "tflite", "tflite-int8"]
    by_name = {each.candidate: each for each in result.measurements}
    assert by_name["tflite"].accuracy.sqnr_db > 60
    assert by_name["tflite-int8"].accuracy.sqnr_db > 25
    assert by_name["tflite-int8"].setup.runtime.startswith("litert ")
    kind = "onnx" if result.chosen == "original" else "tflite"
    assert (out / f"model.{kind}").is_file()
    assert bundle.verify(out) == []
