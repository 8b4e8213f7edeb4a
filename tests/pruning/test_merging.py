"""Twins become one: with exact twins behind a Relu nothing is lost."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.pruning.analysis import couple
from edgekit.pruning.evidence import weights_of
from edgekit.pruning.masking import masked
from edgekit.pruning.merging import merged, twins_of
from edgekit.pruning.preparing import prepared

SHAPES = {"x": (1, 3, 16, 16)}


@pytest.fixture
def coupling(small_model, tmp_path):
    """Filter 5 of conv1 is 0.5 times filter 2, filters 0 and 1 of conv2 are the same."""
    model = onnx.load(small_model)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if tensor.name in {"w1", "b1"}:
            array[5] = 0.5 * array[2]
        if tensor.name in {"w2", "b2"}:
            array[1] = array[0]
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, tmp_path / "twins.onnx")
    return couple(prepared(graph.load(tmp_path / "twins.onnx")), SHAPES)


def test_exact_twins_are_merged_without_loss(coupling):
    groups = [group for group in coupling.groups if group.pinned_by is None]
    keep = coupling.everything()
    keep[groups[0].channels[5]] = keep[groups[1].channels[1]] = False
    dropped = largest_difference(coupling.model, masked(coupling, keep), SHAPES)
    result = merged(coupling, groups, keep)
    same = couple(result, SHAPES)
    assert largest_difference(coupling.model, masked(same, keep), SHAPES) < 1e-5 < dropped


def test_the_ratio_is_that_of_the_filters(coupling):
    group = coupling.groups[0]
    keep = coupling.everything()
    keep[group.channels[5]] = False
    assert twins_of(group, keep, weights_of(coupling)) == {5: (2, pytest.approx(0.5))}


def test_what_has_no_twin_is_just_dropped(coupling):
    groups = [group for group in coupling.groups if group.pinned_by is None]
    keep = coupling.everything()
    keep[groups[0].channels[7]] = False
    assert merged(coupling, groups, keep) is coupling.model
    assert merged(coupling, groups, coupling.everything()) is coupling.model


def test_the_model_is_left_alone(coupling):
    before = coupling.model.ir.graph.initializers["w2"].const_value.numpy().copy()
    groups = [group for group in coupling.groups if group.pinned_by is None]
    keep = coupling.everything()
    keep[groups[0].channels[5]] = False
    result = merged(coupling, groups, keep)
    after = coupling.model.ir.graph.initializers["w2"].const_value.numpy()
    np.testing.assert_array_equal(before, after)
    added = result.ir.graph.initializers["w2"].const_value.numpy()[:, 2]
    np.testing.assert_allclose(added, before[:, 2] + 0.5 * before[:, 5], rtol=1e-5)
