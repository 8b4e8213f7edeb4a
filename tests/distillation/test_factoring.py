"""Layers that become two."""

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.distillation.factoring import low_rank
from edgekit.errors import UsageError

ONE = {"x": (1, 1, 16, 16)}


def replaced(model, name, array):
    model.ir.graph.initializers[name].const_value = ir.tensor(array.astype("f4"), name=name)


def test_layers_of_low_rank_are_split_without_loss(make, answers):
    model = make(32, 0, classes=24)
    rng = np.random.default_rng(1)
    wide, head = (
        rng.standard_normal((n, 8)) @ rng.standard_normal((8, m)) / 16
        for n, m in ((32, 288), (24, 32))
    )
    replaced(model, "w2", wide.reshape(32, 32, 3, 3))
    replaced(model, "w3", head)
    before = answers(model)
    made, count = low_rank(model, 0.36, ONE)
    assert count == 2
    assert graph.costs(made, ONE).macs <= 0.36 * graph.costs(model, ONE).macs
    names = ["conv1", "conv2/into", "conv2/out", "head/into", "head/out"]
    assert [n.name for n in made.ir.graph if n.op_type in {"Conv", "Gemm", "MatMul"}] == names
    np.testing.assert_allclose(answers(made), before, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(answers(model), before)


def test_the_layer_that_loses_least_gives_most(make):
    model = make(64, 0, classes=64)
    rng = np.random.default_rng(1)
    replaced(model, "w2", rng.standard_normal((64, 64, 3, 3)))
    flat = rng.standard_normal((64, 8)) @ rng.standard_normal((8, 64))
    replaced(model, "w3", flat + 1e-3 * rng.standard_normal((64, 64)))
    made, count = low_rank(model, 0.999, ONE)
    assert count == 1
    assert "head/into" in made.ir.graph.initializers


def test_a_budget_out_of_reach_is_refused_with_what_can_be_had(make):
    with pytest.raises(UsageError, match=r"--keep-macs: low ranks .*found 0.01, expected at least"):
        low_rank(make(32, 0), 0.01, ONE)
