"""The real runtime on a real file; where `ai-edge-litert` is not installed nothing runs here."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_model import CHANNELS, CLASSES, SIZE, TFLITE, write_tiny

from edgekit import bench, graph
from edgekit import target as targets
from edgekit.bench import Running
from edgekit.candidate import Candidate
from edgekit.devices import open_device
from edgekit.errors import EdgekitError, ModelError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra litert"
)
SHAPE = (CHANNELS, SIZE, SIZE)


class Images:
    source = "images"

    def __init__(self, shape=SHAPE):
        self.rows = np.random.default_rng(3).standard_normal((5, *shape)).astype(np.float32)

    def __len__(self):
        return len(self.rows)

    def specs(self):
        return {}

    def samples(self):
        return ({"image": row} for row in self.rows)

    def labels(self):
        return None


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture(scope="module")
def device():
    with open_device("local") as opened:
        yield opened


@pytest.fixture
def target():
    return targets.load("x86")


def candidate(file):
    return Candidate(
        name=file.name,
        file=file,
        sha256=graph.file_sha256(file),
        size_bytes=graph.file_size(file),
    )


def test_it_answers_as_the_onnx_model_does_though_its_channels_are_last(device, target, onnx_file):
    answers = [
        bench.evaluate(device, file, Images(), target=target) for file in (onnx_file, TFLITE)
    ]
    assert answers[1][0].shape == (5, CLASSES)
    assert bench.sqnr_db(answers[1], answers[0]) > 100


def test_it_is_timed_in_blocks_against_a_model_of_another_runtime(device, target, onnx_file):
    shape = (1, *SHAPE)
    feeds = [{"image": np.ones(shape, np.float32)}]
    running = Running(target=target, shapes={"image": shape}, inputs=feeds)
    (block,) = bench.compare(
        device, candidate(onnx_file), candidate(TFLITE), running, stop=lambda _: True, looks=(1,)
    )[:1]
    assert [run.role for run in block.runs] == ["original", "candidate", "candidate", "original"]
    assert all(run.samples for run in block.runs)
    setup = bench.setup_of(device, TFLITE, running)
    assert setup.runtime.startswith("litert ")
    assert "unavailable" not in setup.runtime


def test_it_is_screened_with_made_up_inputs(device, target):
    running = Running(target=target, shapes={"image": (1, *SHAPE)})
    (found,) = bench.screen(device, [TFLITE], running, seconds_each=0.05)
    assert found.p50.value > 0


def test_data_of_another_shape_and_a_broken_file_are_told_in_one_line(device, target, tmp_path):
    with pytest.raises(EdgekitError, match="sample 0"):
        bench.evaluate(device, TFLITE, Images((CHANNELS, SIZE, SIZE + 1)), target=target)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(TFLITE.read_bytes()[:200])
    with pytest.raises(ModelError) as caught:
        bench.evaluate(device, broken, Images(), target=target)
    assert "\n" not in str(caught.value)


def test_a_target_that_litert_does_not_serve_refuses_the_file(device, tmp_path):
    file = Path(shutil.copy(TFLITE, tmp_path / "model.tflite"))
    with pytest.raises(ModelError, match=r"model\.tflite"):
        bench.evaluate(device, file, Images(), target=targets.load("jetson"))
