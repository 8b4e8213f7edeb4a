"""trtexec, by a stand-in that says and writes what NVIDIA's does; unverified on hardware."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekit.agent import tensorrt, trtexec
from edgekit.agent.trtexec import Times, precision
from edgekit.agent.wire import AgentError

RECORD = Path(__file__).parent / "trtexec"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The folder of the stand-in, which is on PATH; engines go into a cache of their own."""
    shutil.copytree(RECORD, tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bin"


@pytest.fixture
def spec(tmp_path):
    """What `infer` takes; a model is a folder's content."""

    def of(content=b"graph", **more):
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(content)
        providers = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
        common = {"runtime": "trtexec", "providers": providers, "exact": True, "threads": 1}
        given = {"model": str(folder / "model.onnx"), "shapes": {}, "inputs": None, "batch": 1}
        return {**common, **given, **more}

    return of


def calls(tool, word):
    return [line for line in (tool / "calls").read_text().splitlines() if word in line]


def test_warm_up_is_left_out_and_the_parts_are_told_apart():
    rows = json.loads((RECORD / "times.json").read_text())
    times = Times((RECORD / "times.json").read_text(), warm_up_ms=500)
    assert len(times.latencies_ns) == len(rows) - 2
    parts = times.parts_s
    inner = parts["host to device"] + parts["compute"] + parts["device to host"]
    assert np.median(times.latencies_ns) / 1e9 == pytest.approx(inner, rel=0.01)
    assert parts["compute"] == pytest.approx(3.4e-3, rel=0.02)
    assert parts["enqueue"] == pytest.approx(0.63e-3, rel=0.02)


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"latencyMs": 1}]', "[1]", '[{"a": "b"}'])
def test_what_trtexec_does_not_write_is_the_devices_fault(text):
    with pytest.raises(AgentError) as caught:
        Times(text, warm_up_ms=0)
    assert caught.value.kind == "device"


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '[{"count": 1}, {"name": "a"}]'])
def test_a_profile_that_is_none_is_the_devices_fault(text):
    with pytest.raises(AgentError, match="profile"):
        trtexec.profile(text)


@pytest.mark.parametrize(
    ("says", "version"), [("100300", "10.3.0"), ("8601", "8.6.1"), ("none", "unavailable")]
)
def test_the_version_is_as_trtexec_tells_it(tool, monkeypatch, says, version):
    monkeypatch.setenv("TRTEXEC_SAYS", says)
    assert tensorrt.version() == version


def test_without_trtexec_there_is_no_version(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tensorrt.version() == "unavailable"


def test_only_a_model_with_quantized_tensors_may_compute_in_int8():
    assert precision(b"..QuantizeLinear..") == ["--fp16", "--int8"]
    assert precision(b"..Conv..") == ["--fp16"]


def test_a_block_has_four_runs_and_builds_an_engine_for_each_model_once(agent, tool, spec):
    original, candidate = spec(b"one"), spec(b"DequantizeLinear QuantizeLinear")
    block = {"original": original, "candidate": candidate, "timeout_s": 60}
    for _ in range(2):
        answer = agent.answers("block", block)[-1]
        assert [run["role"] for run in answer["runs"]] == [
            *("original", "candidate", "candidate", "original")
        ]
        for run in answer["runs"]:
            assert run["load_s"] == pytest.approx(0.0326257)
            assert len(run["rounds_ns"]) == len(run["parts_s"]) >= 4
            assert set(run["parts_s"][0]) == {
                *("enqueue", "host to device", "compute", "device to host")
            }
    built = calls(tool, "--onnx=")
    assert len(built) == 2
    assert "--int8" in built[1]
    assert "--int8" not in built[0]
    assert all("timing-10.3.0.cache" in call for call in built)


def test_another_version_of_tensorrt_builds_anew(agent, tool, spec, monkeypatch):
    given, commands = spec(), [{"do": "load"}, {"do": "quit"}]
    for says in ("100300", "100301"):
        monkeypatch.setenv("TRTEXEC_SAYS", says)
        assert agent.answers("infer", given, commands)[-1]["first_s"] > 0
    assert len(calls(tool, "--onnx=")) == 2


def test_shapes_and_inputs_reach_trtexec(agent, tool, spec, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.savez(tmp_path / "inputs.npz", x)
    sent = {"file": str(tmp_path / "inputs.npz"), "names": ["x"]}
    given = spec(shapes={"x": [1, 6]}, inputs=sent)
    agent.answers("infer", given, [{"do": "load"}, {"do": "quit"}])
    assert all("--shapes=x:1x6" in call for call in calls(tool, "Engine="))
    assert (tool / "input").read_bytes() == x[0].tobytes()


@pytest.mark.parametrize("name", ["a,b", "a b", "a:1x1"])
def test_a_name_that_trtexec_would_misread_is_refused(agent, tool, spec, name):
    given = spec(shapes={name: [1]})
    refused = agent.answers("infer", given, [{"do": "load"}])[-1]
    assert refused["error"] == "model"
    assert not (tool / "calls").exists()


def test_a_model_that_cannot_be_built_is_told_in_trtexecs_own_words(agent, tool, spec):
    refused = agent.answers("infer", spec(b"refused"), [{"do": "load"}])[-1]
    assert refused["error"] == "model"
    assert "End node" in refused["message"]
    assert not list((tool.parent / "cache").rglob("*.engine"))


def test_a_device_without_trtexec_is_told_so(agent, spec, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = agent.answers("infer", spec())[-1]
    assert refused["error"] == "device"
    assert "no trtexec" in refused["message"]
