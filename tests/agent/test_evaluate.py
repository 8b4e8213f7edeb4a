from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def shards(tmp_path):
    samples = np.random.default_rng(0).standard_normal((11, 3)).astype(np.float32)
    files = []
    for at, part in enumerate((samples[:4], samples[4:])):
        files.append(str(tmp_path / f"shard-{at}.npz"))
        np.savez(files[-1], part)
    return samples, files


@pytest.fixture
def spec(session, doubling, shards, tmp_path):
    return {
        **session,
        "exact": False,
        "model": doubling,
        "shards": shards[1],
        "names": ["x"],
        "samples": 11,
        "batch": 1,
        "folder": str(tmp_path),
    }


def outputs(answers):
    return {each["name"]: np.load(each["file"]) for each in answers[-1]["outputs"]}


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_answers_do_not_depend_on_the_batch(agent, spec, shards, batch):
    found = outputs(agent.answers("evaluate", {**spec, "batch": batch}))
    np.testing.assert_array_equal(found["y"], 2 * shards[0])


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_fixed_batch_is_kept_and_the_last_one_filled_up(agent, spec, shards, saved, fixed):
    model = saved(
        Path(spec["folder"]) / "fixed.onnx",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        {"x": (TensorProto.FLOAT, [fixed, 3])},
        {"y": (TensorProto.FLOAT, [fixed, 3])},
    )
    found = outputs(agent.answers("evaluate", {**spec, "model": model, "batch": 2}))
    np.testing.assert_array_equal(found["y"], 2 * shards[0])


def test_an_output_without_a_batch_axis_is_refused_unless_the_batch_is_one(
    agent, spec, shards, saved, tmp_path
):
    model = saved(
        tmp_path / "sum.onnx",
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        {"x": (TensorProto.FLOAT, ["N", 3])},
        {"y": (TensorProto.FLOAT, [])},
    )
    answer = agent.answers("evaluate", {**spec, "model": model, "batch": 4})[-1]
    assert answer["error"] == "model"
    assert "no batch axis" in answer["message"]
    found = outputs(agent.answers("evaluate", {**spec, "model": model}))
    np.testing.assert_allclose(found["y"], shards[0].sum(1), rtol=1e-5)


def test_data_without_an_array_for_an_input_is_refused(agent, spec):
    answer = agent.answers("evaluate", {**spec, "names": ["z"]})[-1]
    assert answer["error"] == "data"


def test_an_evaluation_may_fall_back_to_another_provider(agent, spec):
    providers = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    assert outputs(agent.answers("evaluate", {**spec, "providers": providers}))
    refused = agent.answers("evaluate", {**spec, "providers": providers, "exact": True})
    assert refused[-1]["error"] == "device"
