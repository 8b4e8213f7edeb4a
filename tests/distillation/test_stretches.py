"""Parts of a graph, and what takes their place."""

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.distillation.factoring import separable
from edgekit.distillation.stretches import (
    spliced,
    stretch_of,
    weights_within,
    within,
)
from edgekit.errors import ModelError, UsageError


def test_a_stretch_is_what_lies_between_two_nodes(make):
    model = make(8, 0)
    stretch = stretch_of(model, "conv2..relu2")
    assert (stretch.inputs, stretch.outputs) == (("r1",), ("r2",))
    assert [node.name for node in within(model, stretch)] == ["conv2", "relu2"]
    assert weights_within(model, stretch) == {"w2", "b2"}
    whole = stretch_of(model, "conv1..head")
    assert (whole.inputs, whole.outputs) == (("x",), ("logits",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv2", r"--replace: cannot read the stretch .*expected NODE..NODE"),
        ("conv2..relu3", "the model has no node 'relu3'; did you mean 'relu"),
        ("relu2..conv2", "no way leads from 'relu2' to 'conv2'"),
    ],
)
def test_what_is_no_stretch_is_refused(make, text, message):
    with pytest.raises(UsageError, match=message):
        stretch_of(make(8, 0), text)


def test_kernels_that_are_products_become_separable_without_loss(make, answers):
    model = make(8, 0)
    rng = np.random.default_rng(1)
    product = rng.standard_normal((8, 8, 1, 1)) * rng.standard_normal((1, 8, 3, 3)) * 0.3
    value = model.ir.graph.initializers["w2"]
    value.const_value = ir.tensor(product.astype("f4"), name="w2")
    before = answers(model)
    made, count = separable(model, stretch_of(model, "conv2..relu2"))
    assert count == 1
    kinds = [node.op_type for node in within(made, stretch_of(model, "conv2..relu2"))]
    assert kinds == ["Conv", "Conv", "Relu"]
    one = {"x": (1, 1, 16, 16)}
    assert graph.costs(made, one).macs < graph.costs(model, one).macs
    np.testing.assert_allclose(answers(made), before, atol=1e-5)
    np.testing.assert_array_equal(answers(model), before)


def test_without_a_dense_convolution_there_is_nothing_to_do(make):
    model = make(8, 0)
    with pytest.raises(ModelError, match="has no dense convolution to replace"):
        separable(model, stretch_of(model, "pool..head"))


def test_another_graph_takes_the_place(make, answers):
    model = make(8, 0)
    stretch = stretch_of(model, "conv1..head")
    made = spliced(model, stretch, make(4, 5, inputs="image", output="scores"))
    assert made.inputs == model.inputs
    assert [spec.name for spec in made.outputs] == ["logits"]
    assert all(name.startswith("student/") for name in made.ir.graph.initializers)
    np.testing.assert_array_equal(answers(made), answers(make(4, 5)))


def test_a_graph_of_other_ends_does_not_fit(make):
    model = make(8, 0)
    other = make(4, 5).editable()
    other.graph.outputs.append(other.graph.node("relu1").outputs[0])
    block = graph.Model(ir=other, name="block.onnx")
    with pytest.raises(ModelError, match=r"block.onnx: does not have the stretch's outputs"):
        spliced(model, stretch_of(model, "conv1..head"), block)
