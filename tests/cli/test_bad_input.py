"""Bad input: one line that says what, where, found, expected and the remedy; exit code 2."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

PIXELS = (8, 3, 16, 16)


@pytest.fixture
def folder(tmp_path, small_model, small_data):
    """A folder with a good model and good data, to be spoilt by each test."""
    shutil.copy(small_model, tmp_path / "model.onnx")
    shutil.copy(small_data, tmp_path / "data.npz")
    return tmp_path


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _refused(edgekit, folder, *arguments, mentions, code=2):
    before = _files(folder)
    ran = edgekit(*arguments, cwd=folder)
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err + ran.out
    for text in mentions:
        assert text in ran.error_line
    assert _files(folder) == before


def _optimize(*extra, model="model.onnx", data="data.npz", target="x86"):
    return ("optimize", model, "--target", target, "--data", data, *extra)


def _save(path, **arrays):
    np.savez(path, **arrays)


def test_not_an_onnx_file(edgekit_process, folder):
    (folder / "model.onnx").write_bytes(b"PK\x03\x04 not a model at all")
    _refused(edgekit_process, folder, *_optimize(), mentions=["model.onnx", "ONNX"])


def test_truncated_model(edgekit, folder):
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])
    _refused(edgekit, folder, *_optimize(), mentions=["model.onnx"])


def test_empty_model(edgekit, folder):
    (folder / "model.onnx").write_bytes(b"")
    _refused(edgekit, folder, *_optimize(), mentions=["model.onnx", "empty"])


def test_missing_model(edgekit, folder):
    _refused(edgekit, folder, *_optimize(model="absent.onnx"), mentions=["absent.onnx"])


@pytest.mark.parametrize("version", [0, 3, 999])
def test_wrong_opset(edgekit, folder, version):
    model = onnx.load(folder / "model.onnx")
    model.opset_import[0].version = version
    onnx.save(model, folder / "model.onnx")
    _refused(edgekit, folder, *_optimize(), mentions=["model.onnx", "opset"])


@pytest.mark.parametrize("command", ["optimize", "quantize"])
@pytest.mark.parametrize(
    ("arrays", "mentions"),
    [
        ({"y": np.ones(PIXELS, "f4")}, ["'x'", "data.npz"]),
        ({"x": np.ones(PIXELS, "f4"), "y": np.ones(8)}, ["'y'", "data.npz"]),
        ({"x": np.ones((8, 3, 15, 16), "f4")}, ["shape", "Nx3x15x16", "Nx3x16x16"]),
        ({"x": np.ones(PIXELS, "f8")}, ["dtype", "float64", "float32"]),
        ({"x": np.full(PIXELS, np.nan, "f4")}, ["NaN", "sample 0"]),
        ({"x": np.ones((0, 3, 16, 16), "f4")}, ["no samples"]),
        ({"x": np.ones(PIXELS, "f4"), "label": np.ones(7)}, ["labels", "found 7", "expected 8"]),
        ({"x": np.array([{"a": 1}] * 8, dtype=object)}, ["pickled"]),
    ],
)
def test_bad_data(edgekit, folder, command, arrays, mentions):
    _save(folder / "data.npz", **arrays)
    arguments = [command, *_optimize()[1:], *(["-o", "out.onnx"] if command == "quantize" else [])]
    _refused(edgekit, folder, *arguments, mentions=["data.npz", *mentions])


def test_labels_of_the_wrong_length_in_eval(edgekit, folder):
    _save(folder / "eval.npz", x=np.ones(PIXELS, "f4"), label=np.ones(9))
    _refused(edgekit, folder, *_optimize("--eval", "eval.npz"), mentions=["eval.npz", "labels"])


def test_data_that_is_no_npz(edgekit, folder):
    (folder / "data.npz").write_text("hello")
    _refused(edgekit, folder, *_optimize(), mentions=["data.npz"])


def test_external_data_outside_the_folder(edgekit, folder):
    model = onnx.load(folder / "model.onnx")
    (folder / "inner").mkdir()
    onnx.save(
        model,
        folder / "inner" / "m.onnx",
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    (folder / "inner" / "w.bin").rename(folder / "w.bin")
    spoilt = onnx.load(folder / "inner" / "m.onnx", load_external_data=False)
    for tensor in spoilt.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../w.bin"
    (folder / "inner" / "m.onnx").write_bytes(spoilt.SerializeToString())
    _refused(edgekit, folder, *_optimize(model="inner/m.onnx"), mentions=["m.onnx", "../w.bin"])


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (_optimize(target="x68"), ["'x68'", "x86"]),
        (_optimize("--profile", "quantise-only"), ["'quantise-only'", "quantize-only"]),
        (_optimize("--budget", "latency.p59<=3ms"), ["latency.p59", "latency.p99"]),
        (_optimize("--budget", "latency.p95<=3MiB"), ["unit", "'MiB'"]),
        (_optimize("--budget", "latency.p95>=3ms"), ["better when lower"]),
        (_optimize("--budget", "nonsense"), ["budget", "'nonsense'"]),
        (_optimize("--shape", "x=1x3"), ["'x'", "1x3"]),
        (_optimize("--shape", "q=1x3x16x16"), ["'q'"]),
        (_optimize("--shape", "x"), ["--shape"]),
        (_optimize("--threads", "0"), ["threads"]),
        (_optimize("--device", "orin-1"), ["orin-1"]),
        (_optimize(data="absent.npz"), ["absent.npz"]),
        (_optimize(data="no_such_module:rows"), ["no_such_module"]),
        (("optimise", "model.onnx"), ["'optimise'", "optimize"]),
        (("optimize", "model.onnx", "--data", "data.npz"), ["--target"]),
        (("optimize", "model.onnx", "--target", "x86"), ["--data"]),
        (("inspect", "absent.onnx"), ["absent.onnx"]),
        (("gate", "absent.bundle"), ["absent.bundle"]),
        (("verify", "model.onnx"), ["model.onnx"]),
        (("report", "absent.bundle"), ["absent.bundle"]),
        (("target", "show", "jetsen"), ["jetsen", "jetson"]),
    ],
)
def test_bad_arguments(edgekit, folder, arguments, mentions):
    _refused(edgekit, folder, *arguments, mentions=mentions)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ('schema = 1\nname = "p"\ntitle = "t"\nstpes = []\nbudgets = []\n', ["p.toml", "stpes"]),
        (
            'schema = 1\nname = "p"\ntitle = "t"\nsteps = []\nbudgets = ["latency.p95<=3XB"]\n',
            ["p.toml", "budgets", "'XB'"],
        ),
        ('schema = 1\nname = "p\n', ["p.toml"]),
        ('schema = 7\nname = "p"\ntitle = "t"\nsteps = []\nbudgets = []\n', ["p.toml", "schema"]),
        (
            'schema = 1\nname = "p"\ntitle = "t"\nsteps = ["quantise"]\nbudgets = []\n',
            ["quantise", "quantize"],
        ),
    ],
)
def test_bad_profile(edgekit, folder, text, mentions):
    (folder / "p.toml").write_text(text)
    _refused(edgekit, folder, *_optimize("--profile", "p.toml"), mentions=mentions)


def test_an_output_that_exists(edgekit, folder):
    (folder / "out").mkdir()
    (folder / "out" / "precious.txt").write_text("mine")
    _refused(edgekit, folder, *_optimize("--out", "out"), mentions=["out:", "no bundle"])


def test_an_output_that_cannot_be_written(edgekit, folder):
    (folder / "file").write_text("in the way")
    _refused(edgekit, folder, *_optimize("--out", "file/out"), mentions=["file", "no such folder"])


def test_metric_callable_that_is_absent(edgekit, folder):
    (folder / "p.toml").write_text(
        'schema = 1\nname = "p"\ntitle = "t"\nsteps = ["simplify"]\nbudgets = []\n'
        'metric = "no_such:metric"\n'
    )
    _refused(edgekit, folder, *_optimize("--profile", "p.toml"), mentions=["no_such"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk(edgekit, folder, tmp_path_factory):
    small = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this sandbox may not mount")
    try:
        ran = edgekit(*_optimize("--out", small / "out", target="jetson"), cwd=folder)
        assert ran.code == 2, ran.err
        assert "space" in ran.error_line
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["/bin/umount", small], check=True)


def test_a_loop_without_end(edgekit_process, folder):
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", 3]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node(
                "Constant", [], ["true"], value=helper.make_tensor("t", TensorProto.BOOL, [], [1])
            ),
            helper.make_node("Loop", ["", "true", "x"], ["y"], "forever", body=body),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        folder / "model.onnx",
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    ran = edgekit_process(*_optimize(), cwd=folder, EDGEKIT_TIMEOUT="3")
    assert ran.code == 2, ran.err
    assert "model.onnx" in ran.error_line
    assert "not finished after 3 s" in ran.error_line
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 512 << 10


def test_bad_input_in_the_python_api(folder):
    script = (
        "import edgekit\n"
        "try:\n"
        "    edgekit.optimize('model.onnx', target='x68', data='data.npz')\n"
        "except edgekit.EdgekitError as error:\n"
        "    print('told:', error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.stdout.startswith("told: "), ran.stderr
    assert Path(folder / "model.onnx").exists()
