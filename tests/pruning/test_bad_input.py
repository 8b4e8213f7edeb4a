"""What a user can get wrong when pruning: one line, exit code 2, and nothing written."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.cli.main import _run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys, small_model, small_data):
    """Run `edgekit prune ARGS...` beside a good model and good data; return its one error line."""
    shutil.copy(small_model, tmp_path / "model.onnx")
    shutil.copy(small_data, tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model="model.onnx", data=("--data", "data.npz")):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        code = _run(["prune", model, "--target", "x86", *data, "-o", "out.onnx", *arguments])
        printed = capsys.readouterr().err
        assert code == 2, printed
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        (line,) = (one for one in printed.splitlines() if one.startswith("error: "))
        return line

    return run


@pytest.mark.parametrize("share", ["0", "1", "1.5", "-0.5", "nan", "50"])
@pytest.mark.parametrize("option", ["--keep-macs", "--keep-params"])
def test_a_share_out_of_range(refused, option, share):
    line = refused(option, share)
    assert option in line
    assert "more than 0 and less than 1" in line


@pytest.mark.parametrize(
    ("ratio", "mentions"),
    [
        ("conv1=0", "conv1: the share is out of range (found 0"),
        ("conv1=1.2", "found 1.2"),
        ("conv1", "LAYER=SHARE"),
        ("=0.5", "LAYER=SHARE"),
        ("conv1=much", "found 'conv1=much'"),
    ],
)
def test_a_wrong_ratio(refused, ratio, mentions):
    assert mentions in refused("--ratio", ratio)


@pytest.mark.parametrize(
    ("latency", "mentions"),
    [("8", "no unit"), ("fast", "such as 8ms"), ("0ms", "no possible latency"), ("-1s", "-1 s")],
)
def test_a_wrong_latency(refused, latency, mentions):
    line = refused("--max-latency", latency)
    assert "--max-latency" in line
    assert mentions in line


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "found none"),
        (["--keep-macs", "0.5", "--keep-params", "0.5"], "found keep_macs and keep_params"),
        (["--keep-macs", "0.5", "--ratio", "conv1=0.5"], "found keep_macs and ratios"),
        (["--max-latency", "8ms", "--keep-params", "0.5"], "keep_params and max_latency_s"),
    ],
)
def test_no_budget_or_two(refused, arguments, found):
    line = refused(*arguments)
    assert found in line
    assert "expected one of keep_macs, keep_params, max_latency_s, ratios" in line


def test_an_unknown_criterion_gets_the_nearest(refused):
    line = refused("--keep-macs", "0.5", "--criterion", "ob")
    assert "unknown criterion 'ob'; did you mean 'obs'?" in line


@pytest.mark.parametrize(
    "arguments", [["--ratio", "conv_1=0.5"], ["--keep-macs", "0.5", "--ignore", "conv_1"]]
)
def test_an_unknown_layer_gets_the_nearest(refused, arguments):
    line = refused(*arguments)
    assert "'conv_1'" in line
    assert "did you mean 'conv1'?" in line


def test_a_pinned_layer_says_why(refused):
    line = refused("--ratio", "head=0.5")
    assert "'head' cannot be removed" in line
    assert "graph output" in line


def test_no_data_where_it_is_needed(refused):
    line = refused("--keep-macs", "0.5", data=())
    assert "no data" in line
    assert "--data" in line


def test_a_budget_out_of_reach_says_what_can_be_reached(refused):
    line = refused("--keep-macs", "0.000001")
    assert "cannot be reached" in line
    assert "expected at least" in line


def test_a_model_with_nothing_to_prune_says_what_pins_it(refused, tmp_path):
    weight = numpy_helper.from_array(np.eye(4, dtype="f4"), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y"))
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "only")], "one", [x], [y], [weight]
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(made, opset_imports=[opset], ir_version=9), tmp_path / "one.onnx")
    np.savez(tmp_path / "one.npz", x=np.ones((64, 4), "f4"))
    line = refused("--keep-macs", "0.5", model="one.onnx", data=("--data", "one.npz"))
    assert "graph output" in line
    assert "inspect" in line


def test_an_output_that_exists_is_kept(refused, tmp_path):
    (tmp_path / "out.onnx").write_bytes(b"mine")
    line = refused("--keep-macs", "0.5")
    assert "out.onnx: exists already" in line
    assert "--force" in line


def test_an_unknown_target_gets_the_nearest(refused):
    assert "did you mean 'x86'?" in refused("--keep-macs", "0.5", "--target", "x68")
