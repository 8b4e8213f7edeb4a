"""`edgekit target check`: said before any device is touched."""

import json

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def odd(tmp_path):
    """A model with an operator that TensorRT does not have, and a width that it cannot know."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Unique", ["r"], ["y"], "unique"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, "W"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])]
    model = helper.make_model(
        helper.make_graph(nodes, "odd", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, tmp_path / "odd.onnx")
    return "odd.onnx"


def test_findings_for_people_and_for_machines(edgekit, odd, tmp_path):
    ran = edgekit("target", "check", "jetson", odd, "--json", "found.json")
    assert ran.code == 0, ran.err
    assert "1 run elsewhere or in float, 1 slower than need be" in ran.err
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["schema_version"] == 1
    assert document["target"] == "jetson"
    fallback, slow = document["findings"]
    assert (fallback["severity"], fallback["where"]) == ("fallback", "unique")
    assert "takes no Unique" in fallback["what"]
    assert "operators that it takes" in fallback["remedy"]
    assert (slow["severity"], slow["where"]) == ("slow", "x")


def test_a_shape_settles_what_is_dynamic(edgekit, odd):
    ran = edgekit("target", "check", "jetson", odd, "--shape", "x=1x3x8x16")
    assert "slower than need be" not in ran.err


def test_a_clean_model_and_what_the_dla_takes_of_it(edgekit, small_model):
    ran = edgekit("target", "check", "jetson", small_model)
    assert ran.code == 0, ran.err
    assert "model.onnx on jetson: nothing to mend" in ran.err
    assert "next: edgekit quantize" in ran.err
    ran = edgekit("target", "check", "jetson", small_model, "--dla")
    assert ran.code == 0
    assert "GlobalAveragePool" in ran.err


def test_an_engine_that_the_target_lacks_is_bad_input(edgekit, small_model):
    ran = edgekit("target", "check", "x86", small_model, "--dla")
    assert ran.code == 2
    assert "the target has no dla" in ran.error_line


def test_what_is_rejected_is_bad_input(edgekit, tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "new", [value], [other])
    opset = [helper.make_opsetid("", 22)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "new.onnx")
    ran = edgekit("target", "check", "jetson", "new.onnx", "--json", "-")
    assert ran.code == 2
    assert "jetson would reject it" in ran.error_line
    assert "opset 20" in ran.error_line
    assert [f["severity"] for f in json.loads(ran.out)["findings"]] == ["reject"]


def test_engines_are_shown_with_their_sources(edgekit):
    shown = edgekit("target", "show", "jetson").out
    assert "operators of opsets 9 to 20" in shown
    assert "dla-layer-restrictions" in shown
