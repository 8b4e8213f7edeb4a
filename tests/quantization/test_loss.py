"""Losses against a model, and against what it answered before."""

import numpy as np
import pytest

from edgekit import graph, native
from edgekit import target as targets
from edgekit.quantization import emit
from edgekit.quantization.loss import keep_outputs, losses_of


@pytest.mark.parametrize("first", [5, 24])
def test_kept_answers_are_as_good_as_the_model(residual, plan, rows, tmp_path, first):
    every = frozenset(unit.name for unit in plan.units)
    files = [tmp_path / "float.onnx", tmp_path / "int8.onnx"]
    graph.save(residual, files[0])
    graph.save(emit(residual, plan, targets.load("x86"), every), files[1])
    samples = list(rows.samples())[:24]
    kept = tmp_path / "answers.npz"
    assert native.call("running", keep_outputs, files[0], samples, kept)
    found = [
        native.call("running", losses_of, reference, files[1:], samples[:first])
        for reference in (files[0], kept)
    ]
    assert found[0] == found[1]
    assert np.isfinite(found[0][0][0])
