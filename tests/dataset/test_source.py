"""Data is checked against the model before anything is done with it."""

import sys

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from edgekit.dataset import held_out, open_data
from edgekit.dataset.npz import NpzDataset
from edgekit.errors import DataError, UsageError
from edgekit.graph import Model
from edgekit.release import Preprocessing


@pytest.fixture
def model():
    x = ir.Value(name="x", shape=ir.Shape(["N", 3, 4, "W"]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [x], nodes=[], opset_imports={"": 17}, name="g")
    return Model(ir=ir.Model(graph, ir_version=9), name="m")


def _save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_fits_is_opened(tmp_path, model):
    data = open_data(_save(tmp_path / "d.npz", x=np.ones((5, 3, 4, 7), "f4")), model)
    assert len(data) == 5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.ones((5, 3, 4, 7), "f4")}, "no array for the model's input 'x'"),
        ({"x": np.ones((5, 3, 4, 7), "f4"), "z": np.ones(5)}, "'z' is no input"),
        ({"x": np.ones((5, 3, 4, 7), "f8")}, "wrong dtype"),
        ({"x": np.ones((5, 3, 5, 7), "f4")}, r"wrong shape .found Nx3x5x7, expected Nx3x4xW"),
        ({"x": np.ones((5, 3, 4), "f4")}, "wrong shape"),
        ({"x": np.full((5, 3, 4, 7), np.nan, "f4")}, "NaN in array 'x'"),
        ({"x": np.full((5, 3, 4, 7), np.inf, "f4")}, "infinity in array 'x'"),
        ({"x": np.ones((0, 3, 4, 7), "f4")}, "holds no samples"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, model, arrays, message):
    with pytest.raises(DataError, match=message):
        open_data(_save(tmp_path / "d.npz", **arrays), model)


def test_images_become_the_input(tmp_path, model):
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.new("RGB", (20, 10), colour).save(tmp_path / "d" / name / "1.png")
    how = Preprocessing(size=(4, 6), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    data = open_data(tmp_path / "d", model, preprocessing=how)
    first = next(iter(data.samples()))["x"]
    assert first.shape == (3, 4, 6)
    assert first[:, 0, 0].tolist() == [1.0, -1.0, -1.0]
    assert data.labels().tolist() == [0, 1]
    with pytest.raises(DataError, match="preprocessing"):
        open_data(tmp_path / "d", model)


def test_a_file_that_only_looks_like_an_image(tmp_path, model):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.png").write_bytes(b"GIF89a not really")
    with pytest.raises(DataError, match="cannot be read as an image"):
        open_data(tmp_path / "d", model, preprocessing=Preprocessing(size=(4, 6)))


def test_a_callable_yields_samples(tmp_path, model, monkeypatch):
    (tmp_path / "my_data.py").write_text(
        "import numpy as np\n"
        "def rows():\n"
        "    for i in range(3):\n"
        "        yield {'x': np.full((3, 4, i + 1), i, 'f4'), 'label': i}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    data = open_data("my_data:rows", model)
    assert len(data) == 3
    assert data.labels().tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="cannot find"):
        open_data("my_data:nothing", model)


def test_what_is_held_out_depends_on_content_alone(tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 3)).astype("f4")
    order = np.random.default_rng(1).permutation(200)
    sides = []
    for name, rows in (("a", x), ("b", x[order])):
        kept, out = held_out(NpzDataset.open(_save(tmp_path / f"{name}.npz", x=rows)))
        assert len(kept) + len(out) == 200
        sides.append({s["x"].tobytes() for s in out.samples()})
    assert sides[0] == sides[1]
    assert 20 < len(sides[0]) < 60
