"""trtexec as a runtime of edgekit, by the stand-in of the agent's tests."""

import os
from pathlib import Path

import onnx
import pytest
from tiny_model import write_tiny

import edgekit
from edgekit import bench, graph, placement, profiling, runtimes
from edgekit import target as targets
from edgekit.bench.running import Running, timing_spec
from edgekit.candidate import Candidate
from edgekit.devices import open_device
from edgekit.errors import UsageError
from edgekit.graph import file_sha256

RECORD = Path(__file__).parents[1] / "agent" / "trtexec"


@pytest.fixture
def device(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(RECORD), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRTEXEC_CALLS", str(tmp_path / "calls"))
    with open_device("local") as opened:
        yield opened


@pytest.fixture(scope="module")
def jetson():
    return runtimes.asked_for("trtexec", targets.load("jetson"))


@pytest.fixture
def candidate(tmp_path):
    file = write_tiny(tmp_path / "tiny.onnx")
    return Candidate(name="tiny", file=file, sha256=file_sha256(file), size_bytes=1)


def test_blocks_tell_the_parts_of_a_latency(device, jetson, candidate):
    blocks = bench.compare(device, candidate, candidate, Running(target=jetson), looks=(1,))
    for run in blocks[-1].runs:
        assert 3.4e-3 < min(run.samples) <= max(run.samples) < 3.6e-3
        assert run.parts_s["compute"] == pytest.approx(3.4e-3, rel=0.02)
        assert run.memory.peak_bytes is None
    (note,) = profiling._told_apart(candidate, blocks)
    assert note.startswith("tiny, medians: enqueue 0.6")
    assert "host to device 0.04" in note


def test_the_setup_says_that_no_hardware_has_seen_it(device, jetson, candidate):
    runtime = bench.setup_of(device, candidate.file, Running(target=jetson)).runtime
    assert runtime == "trtexec TensorRT 10.3.0 (unverified on hardware)"


def test_a_board_needs_no_onnxruntime_to_be_timed_by_trtexec(device, jetson, monkeypatch):
    found = {**device.environment(), "machine": "aarch64", "providers": "unavailable"}
    monkeypatch.setattr(device, "_environment", found)
    assert placement._lacking(jetson, device) is None
    found["trtexec"] = "unavailable"
    assert "expected trtexec" in str(placement._lacking(jetson, device))


def test_only_axes_that_change_are_told(device, jetson, tmp_path):
    file = write_tiny(tmp_path / "changing.onnx")
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, file)
    spec = timing_spec(device, file, Running(target=jetson, batch=4))
    (shape,) = spec["shapes"].values()
    assert shape[0] == 4
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, file)
    assert timing_spec(device, file, Running(target=jetson))["shapes"] == {}


def test_each_layer_of_the_engine_holds_nodes_of_the_model(device, jetson, candidate):
    model = graph.load(candidate.file)
    found = bench.layers(device, model, candidate.file, Running(target=jetson))
    assert [len(layer.holds) for layer in found.layers] == [2, 0, 3]
    assert [layer.provider for layer in found.layers] == ["TensorRT"] * 3
    assert [layer.seconds for layer in found.layers] == pytest.approx([0.00021, 0.00004, 0.0031])
    assert found.layers[0].macs > 0
    assert found.roofline.macs_per_s == pytest.approx(768**3 / 3.42e-3, rel=0.02)
    assert found.roofline.integer_macs_per_s is None
    assert found.runs == 300


def test_what_trtexec_cannot_tell_is_refused_before_anything_runs(candidate, monkeypatch):
    monkeypatch.setattr(profiling, "target_of", lambda *_: targets.load("jetson"))
    with pytest.raises(UsageError, match="times and no answers"):
        edgekit.profile(candidate.file, runtime="trtexec", evaluation="x.npz")
