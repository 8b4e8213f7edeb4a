import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

from edgekit import graph
from edgekit.errors import ModelError


def refused(path, pattern):
    with pytest.raises(ModelError, match=pattern) as caught:
        graph.load(path)
    assert "\n" not in str(caught.value)


def test_inputs_outputs_and_metadata(small_model):
    model = graph.load(small_model)
    assert model.name == "model.onnx"
    assert model.opset == 17
    spec = model.inputs[0]
    assert (spec.name, spec.dtype, spec.shape) == ("x", "float32", ("N", 3, 16, 16))
    assert [output.name for output in model.outputs] == ["logits"]


def test_the_host_never_loads_the_runtime(small_model):
    program = (
        "import sys; from edgekit import graph; from edgekit.passes import simplify;"
        f"m = graph.load({str(small_model)!r}); graph.costs(m, {{'x': (1, 3, 16, 16)}});"
        "print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_every_node_has_a_name_of_its_own(build, put):
    names = ["", "a", "", "Relu_0"]
    values = ["x", "1", "2", "3", "y"]
    nodes = [
        build.node("Relu", [one], [two], name)
        for name, one, two in zip(names, values, values[1:], strict=False)
    ]
    path = put(build.model(nodes))
    found = [node.name for node in graph.load(path).ir.graph]
    assert found == ["Relu_1", "a", "Relu_2", "Relu_0"]
    assert found == [node.name for node in graph.load(path).ir.graph]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"no model at all", "no ONNX model"),
        (bytes(1000), "no ONNX model"),
        (b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.", "no ONNX model"),
        (b"PK\x03\x04" + bytes(100), "no ONNX model"),
    ],
)
def test_files_that_are_no_model(put, content, reason):
    refused(put(content), reason)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(put, small_model, part):
    data = small_model.read_bytes()
    refused(put(data[: int(len(data) * part)]), "truncated|no ONNX model|no graph")


def test_missing_folder_and_fifo(tmp_path):
    refused(tmp_path / "none.onnx", "No such file")
    refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "no regular file")


def test_old_opsets_load(build, put):
    for opset in (9, 11, 12, 15, 22):
        model = build.model([build.node("Relu", ["x"], ["y"])], opset=opset, ir_version=4)
        assert graph.load(put(model)).opset == opset


def test_given_shapes_decide_the_trial_run(build, put):
    target = build.const("s", np.array([-1, 6], "i8"))
    model = build.model(
        [build.node("Reshape", ["x", "s"], ["y"])],
        [build.value("x", ["N", "W"])],
        [build.value("y", ["M", 6])],
        [target],
    )
    path = put(model)
    graph.load(path)
    graph.load(path, shapes={"x": (1, 12)})
    with pytest.raises(ModelError, match="Reshape"):
        graph.load(path, shapes={"x": (1, 7)})


def test_models_from_other_domains_that_the_runtime_knows(build, put):
    node = build.node("Gelu", ["x"], ["y"], domain="com.microsoft")
    assert graph.load(put(build.model([node], domains=["com.microsoft"]))).opset == 17


def test_a_model_that_changes_meanwhile_is_refused(small_model, monkeypatch):
    from edgekit.graph.examine import Read

    module = sys.modules["edgekit.graph.load"]
    swapped = Read(sha256="0" * 64, external=())
    monkeypatch.setattr(module.native, "call", lambda *_args, **_kwargs: swapped)
    with pytest.raises(ModelError, match="changed while"):
        graph.load(small_model)


def test_weights_are_the_files(small_model):
    expected = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(small_model).graph.initializer
    }
    found = graph.load(small_model).ir.graph.initializers
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(found[name].const_value.numpy(), array)
