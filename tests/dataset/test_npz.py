"""What is in an .npz is read row by row, and nothing in it is trusted."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.dataset.npz import NpzDataset
from edgekit.errors import DataError


@given(rows=st.integers(1, 40), cuts=st.sets(st.integers(1, 39), max_size=4))
@settings(max_examples=25, deadline=None)
def test_shards_read_as_the_whole(tmp_path_factory, rows, cuts):
    folder = tmp_path_factory.mktemp("shards")
    x = np.random.default_rng(rows).standard_normal((rows, 2, 3)).astype("f4")
    label = np.arange(rows)
    for number, part in enumerate(np.split(np.arange(rows), sorted(c for c in cuts if c < rows))):
        np.savez(folder / f"{number:02}.npz", x=x[part], label=label[part])
    data = NpzDataset.open(folder)
    assert len(data) == rows
    assert np.array_equal(np.stack([s["x"] for s in data.samples()]), x)
    assert np.array_equal(data.labels(), label)


def test_the_labels_are_no_input(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2), "f4"), label=np.array(["a", "bb", "c"]))
    data = NpzDataset.open(tmp_path / "a.npz")
    assert list(data.specs()) == ["x"]
    assert list(data.labels()) == ["a", "bb", "c"]


def test_pickled_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "a.npz", x=np.array([Trap()], dtype=object))
    with pytest.raises(DataError, match="pickled"):
        NpzDataset.open(tmp_path / "a.npz")
    assert not (tmp_path / "sprung").exists()


def _npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _npy(array, shape=None):
    stream = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    header["shape"] = shape or array.shape
    np.lib.format.write_array_header_1_0(stream, header)
    stream.write(array.tobytes())
    return stream.getvalue()


def test_a_header_that_asks_for_32_gib(tmp_path):
    lie = _npy(np.zeros(3, "f4"), shape=(1 << 33,))
    with pytest.raises(DataError, match="header lies"):
        NpzDataset.open(_npz(tmp_path / "a.npz", {"x.npy": lie}))


def test_a_zip_bomb(tmp_path):
    bomb = _npy(np.zeros(80 << 20, "u1"))
    path = _npz(tmp_path / "a.npz", {"x.npy": bomb}, zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="times its size"):
        NpzDataset.open(path)


@pytest.mark.parametrize("name", ["../x.npy", "a/b.npy", "x.pkl", "..npy.npy"])
def test_member_names_are_plain(tmp_path, name):
    with pytest.raises(DataError, match="unexpected member"):
        NpzDataset.open(_npz(tmp_path / "a.npz", {name: _npy(np.zeros(3, "f4"))}))


@pytest.mark.parametrize("keep", [0, 10, 60, 200])
def test_truncated(tmp_path, keep):
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 5), "f4"))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:keep])
    with pytest.raises(DataError, match=r"a\.npz"):
        NpzDataset.open(tmp_path / "a.npz")


def test_labels_of_the_wrong_length(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2), "f4"), label=np.zeros(4))
    with pytest.raises(DataError, match="another number of labels"):
        NpzDataset.open(tmp_path / "a.npz")


def test_shards_that_disagree(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2), "f4"))
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2), "f8"))
    with pytest.raises(DataError, match="first shard"):
        NpzDataset.open(tmp_path)
