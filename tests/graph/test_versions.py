import numpy as np
import onnx
import pytest

from edgekit import graph
from edgekit.errors import ModelError


def old_model(build):
    nodes = [
        build.node("Gemm", ["x", "w"], ["g"], "gemm"),
        build.node("Softmax", ["g"], ["s"], "softmax"),
        build.node("Unsqueeze", ["s"], ["y"], "unsqueeze", axes=[1]),
    ]
    proto = build.model(
        nodes,
        [build.value("x", ["N", 40])],
        [build.value("y", ["N", 1, 40])],
        [build.const("w", np.random.default_rng(0).standard_normal((40, 40)).astype("f4"))],
        opset=11,
        ir_version=6,
    )
    onnx.helper.set_model_props(proto, {"character": "abc"})
    return proto


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_converted_with_weights_names_and_metadata(build, put, opset):
    model = graph.load(put(old_model(build)))
    converted = graph.convert(model, opset)
    assert converted.opset == opset
    assert model.opset == 11
    assert converted.metadata == {"character": "abc"}
    assert converted.inputs == model.inputs
    weight = converted.ir.graph.initializers["w"].const_value.numpy()
    assert np.array_equal(weight, model.ir.graph.initializers["w"].const_value.numpy())
    assert {"gemm", "softmax", "unsqueeze"} <= {node.name for node in converted.ir.graph}


def test_converted_models_load(build, put, tmp_path):
    converted = graph.convert(graph.load(put(old_model(build))), 17)
    graph.save(converted, tmp_path / "new.onnx")
    assert graph.load(tmp_path / "new.onnx").opset == 17


def test_same_opset_is_the_same_model(small_model):
    model = graph.load(small_model)
    assert graph.convert(model, 17) is model


def test_no_way_back(build, put):
    model = graph.load(put(build.model([build.node("HardSwish", ["x"], ["y"])])))
    with pytest.raises(ModelError, match=r"cannot be converted to opset 13.*HardSwish"):
        graph.convert(model, 13)
