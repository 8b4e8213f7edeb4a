"""`edgekit quantize --explain` names what was planted, first."""

import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper


@pytest.fixture
def planted(tmp_path, small_model):
    """The small network, one channel of its first layer 50 times the others and taken back."""
    model = onnx.load(small_model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, place, times in (
        ("w1", np.s_[5], 50),
        ("b1", np.s_[5], 50),
        ("w2", np.s_[:, 5], 1 / 50),
    ):
        array = numpy_helper.to_array(weights[name]).copy()
        array[place] *= np.float32(times)
        weights[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "planted.onnx")
    return "planted.onnx"


def test_the_planted_layer_and_cause_come_first(edgekit, planted, small_data):
    ran = edgekit(
        *("quantize", planted, "--target", "arm-cpu", "--data", small_data),
        *("-o", "int8.onnx", "--explain"),
    )
    assert ran.code == 0, ran.err
    first, why = re.search(r"\n 1  (.*)\n    (.*)", ran.err).groups()
    assert first.startswith("conv1 ")
    assert why.startswith("outlier channel: channel 5 of ")
    assert "channels scaled" in ran.err
    assert "next: edgekit profile int8.onnx" in ran.err


def test_only_the_onnx_form_can_be_explained(edgekit, planted, small_data):
    ran = edgekit(
        *("quantize", planted, "--target", "arm-cpu", "--data", small_data),
        *("-o", "int8.tflite", "--format", "tflite", "--explain"),
    )
    assert ran.code == 2
    assert "only the ONNX form can be explained" in ran.error_line
