"""The same graph gives the same numbers on the emulated machine as here."""

import numpy as np
import pytest

from edgekit import bench, graph
from edgekit.dataset import open_data

from .models import MODELS
from .together import write_together

pytestmark = pytest.mark.arm64
PLACEMENTS = ("measured", "all")


@pytest.fixture(scope="module")
def answers(case, both, arm_cpu, tmp_path_factory):
    """What this machine and that one answer, by model and form."""
    files = {f"{name}.float": case(name).file for name in MODELS}
    for placement in PLACEMENTS:
        files |= {f"{name}.{placement}": case(name).int8(placement, arm_cpu) for name in MODELS}
    folder = tmp_path_factory.mktemp("together")
    cases = {name: case(name.partition(".")[0]) for name in files}
    samples = write_together(cases, files, folder / "all.onnx")
    np.savez(folder / "samples.npz", **samples)
    data = open_data(folder / "samples.npz", graph.load(folder / "all.onnx"))
    here, there = (
        bench.evaluate(one, folder / "all.onnx", data, target=arm_cpu, batch=64) for one in both
    )
    return dict(zip(files, zip(here, there, strict=True), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_float_answers_are_those_of_this_machine(answers, name):
    here, there = answers[f"{name}.float"]
    assert np.ptp(here) > 0.1
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-5)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", MODELS)
def test_int8_answers_are_within_a_step_of_this_machines(answers, name, placement):
    here, there = answers[f"{name}.{placement}"]
    step = np.ptp(here) / 255
    np.testing.assert_allclose(there, here, rtol=0, atol=step)
