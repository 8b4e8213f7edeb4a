from pathlib import Path

import pytest

from edgekit import runtimes
from edgekit import target as targets
from edgekit.errors import UsageError


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES, ids=lambda one: one.name)
def test_a_runtime_takes_its_own_files_and_says_why_not_others(runtime):
    target = targets.load("jetson" if runtime.name == "trtexec" else "x86")
    assert runtime.name in target.runtimes
    assert runtime.refuses(Path(f"model{runtime.suffixes[0]}"), target) is None
    assert "model.txt" in runtime.refuses(Path("model.txt"), target)
    other = target.model_copy(update={"runtimes": ("other",)})
    assert runtime.name in runtime.refuses(Path(f"model{runtime.suffixes[0]}"), other)
    assert runtime.agent_spec(target, threads=2)["threads"] == 2
    assert runtime.name in runtime.title({}, target)


def test_int8_activations_run_on_any_host_as_on_arm():
    """By default onnxruntime on x86 leaves some of them in float."""
    for name, config in (("arm-cpu", {"session.qdqisint8allowed": "1"}), ("x86", {})):
        spec = runtimes.OnnxRuntime().agent_spec(targets.load(name), threads=1)
        assert spec["config"] == config


def test_the_file_decides_among_the_runtimes_of_a_target():
    target = targets.load("arm-cpu")
    assert runtimes.runtime_for(target, Path("a.onnx")).name == "onnxruntime"
    assert runtimes.runtime_for(target, Path("a.tflite")).name == "litert"
    assert runtimes.runtime_for(target, Path("a.txt")).name == target.runtimes[0]


def test_trtexec_serves_a_jetson_where_it_is_asked_for():
    jetson = targets.load("jetson")
    assert runtimes.runtime_for(jetson, Path("a.onnx")).name == "onnxruntime"
    asked = runtimes.asked_for("trtexec", jetson)
    assert runtimes.runtime_for(asked, Path("a.onnx")).name == "trtexec"
    with pytest.raises(UsageError, match=r"no such runtime.*found 'trtexec'.*onnxruntime, litert"):
        runtimes.asked_for("trtexec", targets.load("x86"))


def test_a_target_with_no_runtime_of_this_version_is_refused():
    target = targets.load("x86").model_copy(update={"runtimes": ("abacus",)})
    with pytest.raises(UsageError, match="abacus"):
        runtimes.runtime_for(target, Path("a.onnx"))
