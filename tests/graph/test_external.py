"""External data stays inside the model's folder."""

import contextlib
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit import graph
from edgekit.errors import ModelError
from edgekit.graph.trial import open_session


def refused(path, pattern):
    with pytest.raises(ModelError, match=pattern) as caught:
        graph.load(path)
    assert "\n" not in str(caught.value)


def test_external_weights_are_mapped_and_right(external, put):
    model = graph.load(put(external(offset=0, length=64)))
    tensor = model.ir.graph.initializers["w"].const_value
    assert type(tensor).__name__ == "ExternalTensor"
    assert np.array_equal(tensor.numpy(), np.arange(16, dtype="f4").reshape(4, 4))


def test_a_folder_below_is_fine(external, put, tmp_path):
    path = put(external("deep/w.bin"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "w.bin").rename(tmp_path / "deep" / "w.bin")
    graph.load(path)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../w.bin", "outside"),
        ("a/../../w.bin", "outside"),
        ("a/../w.bin", "outside"),
        ("/etc/hostname", "absolute"),
        ("..\\w.bin", "odd path"),
        ("w.bin\0.txt", "odd path"),
        (".", "outside"),
        ("", "no location"),
        ("none.bin", "missing"),
        ("x" * 5000, "missing"),
        ("*/_ORT_MEM_ADDR_/", "into memory"),
    ],
)
def test_locations_that_lead_elsewhere(external, put, location, reason):
    refused(put(external(location)), reason)


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"offset": 4}, "beyond its file"),
        ({"offset": 1 << 62}, "beyond its file"),
        ({"length": 60}, "wrong length"),
        ({"length": 1 << 40}, "wrong length"),
        ({"offset": -4}, "no count"),
        ({"offset": "0x10"}, "no count"),
        ({"offset": "9" * 40}, "no count"),
        ({"shape": (4, 1 << 40), "write": False}, "missing|beyond"),
    ],
)
def test_extents_out_of_range(external, put, span, reason):
    refused(put(external(**span)), reason)


def test_links_need_permission(external, put, tmp_path):
    path = put(external())
    outside = tmp_path / "store"
    outside.mkdir()
    (tmp_path / "w.bin").rename(outside / "blob")
    (tmp_path / "w.bin").symlink_to(outside / "blob")
    refused(path, "symbolic link")
    graph.load(path, follow_links=True)
    (tmp_path / "w.bin").unlink()
    os.link(outside / "blob", tmp_path / "w.bin")
    refused(path, "several hard links")
    followed = graph.load(path, follow_links=True).ir.graph.initializers["w"].const_value
    (outside / "blob").write_bytes(bytes(64))
    assert followed.numpy().sum() == 120, "what was verified is what is used"


def test_linked_folder(external, put, tmp_path):
    path = put(external("sub/w.bin"))
    (tmp_path / "real").mkdir()
    (tmp_path / "w.bin").rename(tmp_path / "real" / "w.bin")
    (tmp_path / "sub").symlink_to(tmp_path / "real")
    refused(path, "symbolic link")


def test_fifo_device_and_folder(external, put, tmp_path):
    path = put(external("odd", write=False))
    os.mkfifo(tmp_path / "odd")
    refused(path, "no regular file")
    (tmp_path / "odd").unlink()
    (tmp_path / "odd").mkdir()
    refused(path, "no regular file")


def test_the_model_itself_is_no_data(external, put):
    refused(put(external("model.onnx", shape=(1,))), "model itself")


def hidden_tensor():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="../w.bin"))
    return tensor


def constant():
    node = onnx.NodeProto(op_type="Constant", output=["w"])
    node.attribute.append(
        onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=hidden_tensor())
    )
    return node


@pytest.mark.parametrize("place", ["attribute", "branch", "function", "sparse", "default"])
def test_hidden_places(build, put, place):
    add = build.node("Add", ["x", "w"], ["y"])
    relu = build.node("Relu", ["x"], ["y"])
    if place == "attribute":
        model = build.model([constant(), add])
    elif place == "branch":
        branch = build.graph([constant(), add], "b", [], [build.value("y", ["N", 4])])
        node = build.node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
        model = build.model([node], weights=[build.const("on", np.array(True))])
    elif place == "function":
        function = build.function("d", "f", ["x"], ["y"], [constant(), add], [build.opset("", 17)])
        node = build.node("f", ["x"], ["y"], domain="d")
        model = build.model([node], functions=[function], domains=["d"])
    elif place == "sparse":
        model = build.model([relu])
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(hidden_tensor())
        sparse.indices.CopyFrom(build.const("i", np.arange(4)))
        sparse.dims.extend([8])
    else:
        function = build.function("d", "f", ["x"], ["y"], [relu], [build.opset("", 17)])
        function.attribute_proto.append(
            onnx.AttributeProto(name="v", type=onnx.AttributeProto.TENSOR, t=hidden_tensor())
        )
        node = build.node("f", ["x"], ["y"], domain="d")
        model = build.model([node], functions=[function], domains=["d"])
    refused(put(model), "outside the model's folder|sparse")


def test_external_and_embedded_data_at_once(external, put):
    model = external()
    model.graph.initializer[0].raw_data = bytes(64)
    refused(put(model), "holds its data twice")


def test_entries_that_are_doubled(external, put):
    model = external()
    model.graph.initializer[0].external_data.append(
        onnx.StringStringEntryProto(key="location", value="w.bin")
    )
    refused(put(model), "doubled")


def test_external_tensor_in_an_attribute_survives_saving(build, put, tmp_path):
    (tmp_path / "w.bin").write_bytes(np.arange(4, dtype="f4").tobytes())
    node = constant()
    node.attribute[0].t.external_data[0].value = "w.bin"
    model = graph.load(put(build.model([node, build.node("Add", ["x", "w"], ["y"])])))
    (tmp_path / "elsewhere").mkdir()
    graph.save(model, tmp_path / "elsewhere" / "m.onnx")
    again = graph.load(tmp_path / "elsewhere" / "m.onnx")
    found = again.ir.graph[0].attributes["value"].as_tensor().numpy()
    assert found.tolist() == [0, 1, 2, 3]


def test_weights_in_files_stay_in_them_while_the_model_runs(external, put, small_model):
    def packs(session):
        with contextlib.suppress(RuntimeError):  # no such entry
            options = session.get_session_options()
            return options.get_session_config_entry("session.disable_prepacking") != "1"
        return True

    path = put(external())
    for session in (
        open_session(str(path)),
        open_session(path.read_bytes(), folder=path.parent),
    ):
        assert not packs(session)
        (found,) = session.run(None, {"x": np.eye(4, dtype="f4")})
        assert np.array_equal(found, np.arange(16).reshape(4, 4))
    assert packs(open_session(str(small_model)))
