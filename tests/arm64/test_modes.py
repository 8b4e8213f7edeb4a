"""The agent does there what it does here, and says what it cannot read."""

import pytest

from edgekit import bench
from edgekit.candidate import Candidate
from edgekit.devices import ask
from edgekit.errors import ModelError
from edgekit.graph import file_sha256, file_size

pytestmark = pytest.mark.arm64


def test_check_tells_what_the_machine_is(device):
    found = device.environment()
    assert found["machine"] == "aarch64"
    assert found["python"].startswith("3.11.")
    assert found["onnxruntime"][0].isdigit()
    assert "CPUExecutionProvider" in found["providers"]
    assert device.describe().startswith("aarch64 with")


def test_sensors_that_an_emulated_machine_lacks_are_unavailable(device):
    state = ask(device, "check", {}, timeout_s=120)["state"]
    for sensor in ("governor", "frequency_hz", "temperature_c", "throttling", "gpu"):
        assert state[sensor] == "unavailable", sensor
    assert device.environment()["power_sensor"] == "unavailable"
    assert state["memory_available_bytes"] > 1e8


def test_a_block_has_four_timed_runs(case, device, arm_cpu):
    running = bench.Running(target=arm_cpu, shapes={"x": (1, 3, 16, 16)})
    file = case("conv").file
    original = Candidate(
        name="original", file=file, sha256=file_sha256(file), size_bytes=file_size(file)
    )
    blocks = bench.compare(device, original, original, running, looks=(1,))
    block = blocks[-1]
    assert [run.role for run in block.runs] == ["original", "candidate", "candidate", "original"]
    for run in block.runs:
        assert sum(map(len, run.rounds)) >= 12
        assert min(map(min, run.rounds)) > 0
        assert run.memory.peak_bytes > 1e7


def test_a_model_of_another_runtime_is_refused_there(case, device, arm_cpu, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelError, match="refuses"):
        bench.evaluate(device, broken, case("conv").data, target=arm_cpu)
