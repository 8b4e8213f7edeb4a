import importlib.util

import pytest
from tiny_model import TFLITE, write_tiny

import edgekit
from edgekit.errors import UsageError

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra litert"
)


def test_the_kind_of_a_file_says_what_runs_it():
    with pytest.raises(UsageError, match=r"expected litert for tiny\.tflite"):
        edgekit.profile(TFLITE, runtime="onnxruntime")


def test_what_has_no_profiler_is_refused_before_anything_runs():
    with pytest.raises(UsageError, match=r"litert tells no times by layer.*profile the ONNX model"):
        edgekit.profile(TFLITE, per_layer=True)


@needs_litert
@pytest.mark.slow
def test_a_tflite_file_is_measured_alone_and_against_its_original(tmp_path):
    alone = edgekit.profile(TFLITE, runtime="litert")
    assert alone.measurement.setup.runtime.startswith("litert ")
    beside = edgekit.profile(TFLITE, against=write_tiny(tmp_path / "tiny.onnx"))
    assert beside.regressions
