"""Samples on disk, and images seen anew."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.distillation.matching import match
from edgekit.distillation.packing import pack
from edgekit.distillation.trainable import trainable
from edgekit.distillation.views import views_of
from edgekit.errors import ModelError
from edgekit.graph import Model


class Rows:
    source = "rows"

    def __init__(self, *rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def samples(self):
        yield from ({"x": np.asarray(row, "f4")} for row in self.rows)


def test_samples_of_equal_shapes_lie_together(tmp_path):
    packed = pack(Rows([1, 2], [3], [4, 5], [6]), tmp_path / "packed")
    assert len(packed) == 4
    assert [bucket.numbers.tolist() for bucket in packed.buckets] == [[0, 2], [1, 3]]
    found = [bucket.inputs["x"].open().tolist() for bucket in packed.buckets]
    assert found == [[[1, 2], [4, 5]], [[3], [6]]]


def test_the_digest_tells_data_apart(tmp_path):
    digests = {
        pack(Rows(*rows), tmp_path / "packed").digest
        for rows in ([[1, 2]], [[2, 1]], [[1], [2]], [[1, 2], [1, 2]])
    }
    assert len(digests) == 4


def images(count, tmp_path):
    rng = np.random.default_rng(0)
    return pack(Rows(*rng.standard_normal((count, 1, 24, 16))), tmp_path / "images")


def test_a_view_is_the_same_whenever_it_is_asked_for(tmp_path):
    packed = images(20, tmp_path)
    [bucket] = packed.buckets
    views = views_of(packed, 20, 4, seed=3).with_mirrored(True)
    values, numbers = bucket.inputs["x"].open(), bucket.numbers
    every = views.seen("x", values, numbers, np.full(20, 2))
    some = views.seen("x", values[5:9], numbers[5:9], np.full(4, 2))
    assert (every[5:9] == some).all()
    assert (views.seen("x", values, numbers, np.zeros(20, int)) == values).all()
    mixed = views.seen("x", values, numbers, numbers % 3)
    assert (mixed[2] == every[2]).all()
    assert (mixed[3] == values[3]).all()


def test_images_are_shifted_a_little_and_some_are_mirrored(tmp_path):
    packed = images(200, tmp_path)
    [bucket] = packed.buckets
    values = np.array(bucket.inputs["x"].open())
    values[:] = np.arange(16)
    views = views_of(packed, 200, 3, seed=0).with_mirrored(True)
    assert views.first_shifted == 2
    seen = views.seen("x", values, bucket.numbers, np.full(200, 2))
    slopes = np.diff(seen[:, 0, 0], axis=-1)
    mirrored = slopes.sum(-1) < 0
    assert 60 < mirrored.sum() < 140
    assert (np.abs(slopes) <= 1).all()
    assert (np.abs(seen[~mirrored, 0, 0, 8] - 8) <= 1).all()
    assert len(np.unique(seen[~mirrored, 0, 0, 8])) == 3


def test_the_mirror_image_comes_first_where_there_is_one(tmp_path):
    packed = images(20, tmp_path)
    [bucket] = packed.buckets
    values, ones = np.array(bucket.inputs["x"].open()), np.ones(20, int)
    views = views_of(packed, 20, 3, seed=0)
    mirrored = views.with_mirrored(True).seen("x", values, bucket.numbers, ones)
    np.testing.assert_array_equal(mirrored, values[..., ::-1])
    assert views.first_shifted == 1
    assert not np.array_equal(views.seen("x", values, bucket.numbers, ones), values)


def test_what_is_no_image_has_one_view(tmp_path):
    rows = pack(Rows(*np.zeros((4, 24, 16))), tmp_path / "rows")
    small = pack(Rows(*np.zeros((4, 1, 8, 8))), tmp_path / "small")
    many = pack(Rows(*np.zeros((4, 8, 24, 24))), tmp_path / "many")
    last = pack(Rows(*np.zeros((4, 24, 32, 3))), tmp_path / "last")
    assert [views_of(one, 4, 4, 0).count for one in (rows, small, many, last)] == [1, 1, 1, 4]


def test_what_corresponds_has_the_same_name_or_place(make):
    same = match(make(4, 0), make(8, 1))
    assert (same.inputs, same.outputs) == ({"x": "x"}, {"logits": "logits"})
    other = match(make(4, 0), make(8, 1, inputs="image", output="scores"))
    assert (other.inputs, other.outputs) == ({"x": "image"}, {"logits": "scores"})


def test_outputs_that_do_not_correspond_are_told(make):
    message = (
        r"width8.onnx: teacher and student have different outputs "
        r"\(found logits float32 Nx7, expected those of the student width4.onnx: "
        r"logits float32 Nx5\)"
    )
    with pytest.raises(ModelError, match=message):
        match(make(4, 0), make(8, 1, classes=7))


def test_settings_are_not_trained():
    def array(name, *shape):
        return numpy_helper.from_array(np.ones(shape, "f4"), name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Clip", ["n", "low", "high"], ["d"]),
        helper.make_node("Mul", ["d", "factor"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "settings",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            array("w", 3, 2, 1, 1),
            *(array(name, 3) for name in ("scale", "shift", "mean", "var")),
            *(array(name) for name in ("low", "high", "factor")),
        ],
    )
    model = Model(ir=ir.from_proto(helper.make_model(graph)), name="settings")
    assert trainable(model) == ("w", "scale", "shift")
