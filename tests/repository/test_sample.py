"""The sample that `edgekit demo` runs on is what it says it is."""

from pathlib import Path

import numpy as np
import pytest

import edgekit

SAMPLE = Path(edgekit.__file__).parent / "sample"


@pytest.mark.parametrize(("file", "count"), [("calibration.npz", 512), ("test.npz", 2_000)])
def test_images_are_pixels_in_0_to_1(file, count):
    with np.load(SAMPLE / file, allow_pickle=False) as data:
        image = data["image"]
    assert image.shape == (count, 1, 28, 28)
    assert image.dtype == np.float32
    assert image.min() == 0.0
    assert image.max() == 1.0
    levels = image * np.float32(255)
    assert np.allclose(levels, np.round(levels), atol=1e-4)


def test_labels_are_the_ten_classes():
    with np.load(SAMPLE / "test.npz", allow_pickle=False) as data:
        counts = np.bincount(data["label"], minlength=10)
    assert counts.sum() == 2_000
    assert len(counts) == 10
    assert counts.min() > 150


def test_calibration_has_no_labels_and_no_test_image():
    with np.load(SAMPLE / "calibration.npz", allow_pickle=False) as data:
        assert data.files == ["image"]
        calibration = {image.tobytes() for image in data["image"]}
    with np.load(SAMPLE / "test.npz", allow_pickle=False) as data:
        assert not calibration & {image.tobytes() for image in data["image"]}


def test_the_model_answers_at_least_92_percent_of_the_test_images():
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(SAMPLE / "model.onnx", options)
    with np.load(SAMPLE / "test.npz", allow_pickle=False) as data:
        (logits,) = session.run(None, {"image": data["image"]})
        assert (logits.argmax(1) == data["label"]).mean() >= 0.92


def test_all_of_it_is_under_4_mb():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file()) < 4_000_000
