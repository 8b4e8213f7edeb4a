import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.agent.block import rounds_for


def test_check_tells_the_environment_and_calls_unknown_what_it_cannot_read(agent):
    (answer,) = agent.answers("check", {})
    assert answer["environment"]["onnxruntime"][0].isdigit()
    assert "CPUExecutionProvider" in answer["environment"]["providers"]
    for value in (*answer["environment"].values(), *answer["state"].values()):
        assert value not in (0, None, "")


def test_an_inference_process_loads_warms_up_and_times(agent, infer_spec):
    commands = [
        {"do": "load"},
        {"do": "warm-up"},
        {"do": "slice", "seconds": 0, "least": 3},
        {"do": "quit"},
    ]
    ready, load, warm, timed = agent.answers("infer", infer_spec, commands)
    assert ready == {"ready": True}
    assert load["load_s"] > 0
    assert load["first_s"] > 0
    assert warm["batched"] >= 1
    assert warm["iterations"] > 0
    assert len(timed["samples_ns"]) == 3


def test_200_mb_more_are_seen_within_a_hundredth_in_the_peak(agent, saved, infer_spec, tmp_path):
    model = saved(
        tmp_path / "first.onnx",
        [helper.make_node("Gather", ["x", "first"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N"])},
        {"y": (TensorProto.FLOAT, [])},
        [numpy_helper.from_array(np.array(0, np.int64), "first")],
    )

    def peak(count):
        file = tmp_path / f"{count}.npz"
        np.savez(file, np.ones((1, count), np.float32))
        spec = {**infer_spec, "model": model, "inputs": {"file": str(file), "names": ["x"]}}
        return agent.answers("infer", spec, [{"do": "load"}])[1]["memory"]["peak_bytes"]

    assert peak(50_000_000) - peak(1) == pytest.approx(200_000_000, rel=0.01)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"model": "/nowhere.onnx"}, "model", "refuses"),
        ({"providers": ["TensorrtExecutionProvider"]}, "device", "TensorrtExecutionProvider"),
        ({"runtime": "abacus"}, "spec", "abacus"),
        ({"shapes": {"x": [1, 4]}}, "model", "does not run"),
    ],
)
def test_an_error_says_whose_fault_it_is(agent, infer_spec, change, kind, says):
    answer = agent.answers("infer", {**infer_spec, **change}, [{"do": "load"}])[-1]
    assert answer["error"] == kind
    assert says in answer["message"]


def test_an_unknown_mode_is_an_error(agent):
    assert agent.answers("dance", {})[-1]["error"] == "spec"


def test_inputs_of_the_data_are_rotated(agent, infer_spec, tmp_path):
    file = tmp_path / "inputs.npz"
    np.savez(file, np.ones((4, 1, 3), np.float32))
    sent = {"file": str(file), "names": ["x"]}
    answers = agent.answers("infer", {**infer_spec, "inputs": sent}, [{"do": "load"}])
    assert "load_s" in answers[-1]
    wrong = {"file": str(file), "names": ["z"]}
    answers = agent.answers("infer", {**infer_spec, "inputs": wrong}, [{"do": "load"}])
    assert answers[-1]["error"] == "data"


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return condition()


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def block_spec(infer_spec):
    return {"original": infer_spec, "candidate": infer_spec, "timeout_s": 30}


def test_killing_the_coordinator_ends_its_processes(agent, block_spec):
    process = agent.start("block", block_spec)
    pids = wait_for(lambda: len(children(process.pid)) == 4 and children(process.pid))
    process.kill()
    process.communicate()
    assert wait_for(lambda: all(gone(pid) for pid in pids))


def test_an_inference_process_that_is_killed_is_not_the_models_fault(agent, block_spec):
    process = agent.start("block", block_spec)
    pids = wait_for(lambda: len(children(process.pid)) == 4 and children(process.pid))
    os.kill(pids[2], signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    answer = json.loads(text.splitlines()[-1])
    assert answer["error"] == "device"
    assert "signal 9" in answer["message"]
    assert all(gone(pid) for pid in pids)


def test_a_process_that_does_not_answer_is_given_up(agent, block_spec):
    answer = agent.answers("block", {**block_spec, "timeout_s": 0.001})[-1]
    assert answer["error"] == "device"
    assert "no answer within" in answer["message"]


def test_screening_answers_with_one_median_a_round_for_each_model(agent, infer_spec, doubling):
    spec = {**infer_spec, "models": [doubling, doubling, doubling], "seconds_each": 0.0}
    *told, answer = agent.answers("screen", spec)
    assert np.asarray(answer["medians_ns"]).shape == (3, 8)
    assert told[-1]["progress"] == [8, 8]


def test_screening_names_the_model_that_fails(agent, infer_spec, doubling):
    spec = {**infer_spec, "models": [doubling, "/nowhere.onnx"], "seconds_each": 0.0}
    answer = agent.answers("screen", spec)[-1]
    assert answer["error"] == "model"
    assert answer["message"].startswith("model 1:")


@pytest.mark.parametrize(
    ("typical_s", "rounds"), [(0.0001, 12), (0.02, 12), (0.05, 6), (0.1, 4), (10.0, 4)]
)
def test_slow_models_take_fewer_rounds(typical_s, rounds):
    assert rounds_for([typical_s] * 4, slice_s=0.03) == rounds
