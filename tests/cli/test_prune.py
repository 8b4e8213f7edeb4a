"""`edgekit inspect --groups` and `edgekit prune`, as a user runs them."""

from __future__ import annotations

import json

import numpy as np
import onnx


def test_inspect_lists_groups_and_why_some_are_pinned(edgekit, tmp_path, small_model):
    ran = edgekit("inspect", small_model, "--groups", "--target", "x86", "--json", "i.json")
    assert ran.code == 0, ran.err
    for text in ("conv1", "pinned: head (10)", "graph output", "3 groups with 58 channels"):
        assert text in ran.err
    assert "next: edgekit prune" in ran.err
    document = json.loads((tmp_path / "i.json").read_text())["groups"]
    assert document["multiple"] == 16
    assert [group["name"] for group in document["groups"]] == ["conv1", "conv2", "head"]
    assert document["groups"][2]["pinned_by"]["where"] == "head"


def test_a_target_without_groups_says_what_is_missing(edgekit, small_model):
    ran = edgekit("inspect", small_model, "--target", "x86")
    assert ran.code == 2
    assert "--groups" in ran.error_line


def test_prune_writes_a_smaller_file_and_says_what_went(edgekit, tmp_path, small_model, small_data):
    given = ("--data", small_data, "--target", "x86", "-o", "pruned.onnx")
    ran = edgekit("prune", small_model, *given, "--ratio", "conv*=0.5")
    assert ran.code == 0, ran.err
    for text in ("conv1", "16 -> 8", "32 -> 16", "multiply-adds kept", "left alone: head"):
        assert text in ran.err
    assert f"next: edgekit profile pruned.onnx --against {small_model}" in ran.err
    onnx.checker.check_model(str(tmp_path / "pruned.onnx"), full_check=True)
    weights = {w.name: tuple(w.dims) for w in onnx.load(tmp_path / "pruned.onnx").graph.initializer}
    assert weights["w2"] == (16, 8, 3, 3)
    assert edgekit("prune", small_model, *given, "--keep-macs", "0.5").code == 2
    ran = edgekit("prune", small_model, *given, "--keep-macs", "0.5", "--force")
    assert ran.code == 0, ran.err


def test_ignored_layers_stay_whole(edgekit, tmp_path, small_model, small_data):
    ran = edgekit(
        *("prune", small_model, "--data", small_data, "--target", "x86", "-o", "pruned.onnx"),
        *("--keep-macs", "0.7", "--ignore", "conv1"),
    )
    assert ran.code == 0, ran.err
    weights = {w.name: tuple(w.dims) for w in onnx.load(tmp_path / "pruned.onnx").graph.initializer}
    assert weights["w1"] == (16, 3, 3, 3)
    assert weights["w2"][0] < 32


def test_a_budget_out_of_reach_leaves_the_other_steps_to_a_job(
    edgekit, tmp_path, small_model, small_data
):
    steps = '["simplify", { name = "prune", params = { keep_macs = 0.001 } }, "quantize"]'
    (tmp_path / "p.toml").write_text(
        f'schema = 1\nname = "p"\ntitle = "p"\nsteps = {steps}\nbudgets = ["size.ratio<=0.9"]\n'
    )
    ran = edgekit(
        *("optimize", small_model, "--target", "jetson", "--data", small_data),
        *("--profile", "p.toml", "--out", "b"),
    )
    assert ran.code in {0, 3}, ran.err
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert "cannot be reached" in json.dumps(manifest)
    assert "quantize" in {one["name"] for one in manifest["candidates"]}


def test_channels_go_by_the_scale_of_their_batch_norm_which_is_folded_afterwards(edgekit, tmp_path):
    scales = np.tile([3, 0.1], 16).astype("f4")
    weights = {
        "w1": np.ones((32, 3, 1, 1), "f4"), "s": scales, "t": np.zeros(32, "f4"),
        "m": np.zeros(32, "f4"), "v": np.ones(32, "f4"), "w2": np.ones((4, 32, 1, 1), "f4"),
    }  # fmt: skip
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    network = onnx.helper.make_graph(
        [
            node("Conv", ["x", "w1"], ["a"], "first"),
            node("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"], "norm"),
            node("Relu", ["b"], ["c"], "relu"),
            node("Conv", ["c", "w2"], ["y"], "last"),
        ],
        "normed",
        [value("x", onnx.TensorProto.FLOAT, ("N", 3, 8, 8))],
        [value("y", onnx.TensorProto.FLOAT, ("N", 4, 8, 8))],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(
        onnx.helper.make_model(network, opset_imports=[opset], ir_version=9), tmp_path / "m.onnx"
    )
    ran = edgekit(
        *("prune", "m.onnx", "--target", "x86", "--keep-macs", "0.5"),
        *("--criterion", "batchnorm", "-o", "pruned.onnx"),
    )
    assert ran.code == 0, ran.err
    graph = onnx.load(tmp_path / "pruned.onnx").graph
    assert [one.op_type for one in graph.node] == ["Conv", "Relu", "Conv"]
    first = next(onnx.numpy_helper.to_array(w) for w in graph.initializer if w.name == "w1")
    assert first.shape == (16, 3, 1, 1)
    assert np.allclose(first, 3, rtol=1e-3), "those of scale 0.1 are gone"
