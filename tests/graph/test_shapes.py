import numpy as np
import pytest

from edgekit import graph
from edgekit.errors import ModelError


def shapes_of(model):
    return {
        value.name: None if value.shape is None else [str(axis) for axis in value.shape]
        for node in model.ir.graph
        for value in node.outputs
    }


def test_dynamic_axes_stay_dynamic(small_model):
    model = graph.load(small_model)
    inferred = shapes_of(graph.infer_shapes(model))
    assert inferred["c2"] == ["N", "32", "16", "16"]
    assert inferred["f"] == ["N", "32"]
    assert shapes_of(model)["c2"] is None, "the input is unchanged"


def test_concrete_shapes_reach_every_value(small_model):
    inferred = graph.infer_shapes(graph.load(small_model), {"x": (5, 3, 16, 16)})
    found = shapes_of(inferred)
    assert found["c1"] == ["5", "16", "16", "16"]
    assert found["logits"] == ["5", "10"]
    assert inferred.inputs[0].shape == (5, 3, 16, 16)


def test_stale_inner_shapes_give_way(build, put):
    nodes = [build.node("Relu", ["x"], ["h"]), build.node("Relu", ["h"], ["y"])]
    proto = build.model(nodes)
    proto.graph.value_info.append(build.value("h", [1, 4]))
    inferred = graph.infer_shapes(graph.load(put(proto)), {"x": (3, 4)})
    assert shapes_of(inferred)["h"] == ["3", "4"]


def test_shape_arithmetic_is_followed(build, put):
    nodes = [
        build.node("Shape", ["x"], ["s"]),
        build.node("Gather", ["s", "zero"], ["n"]),
        build.node("Unsqueeze", ["n", "axes"], ["u"]),
        build.node("Concat", ["u", "minus"], ["t"], axis=0),
        build.node("Reshape", ["x", "t"], ["y"]),
    ]
    constants = {"zero": 0, "axes": [0], "minus": [-1]}
    model = build.model(
        nodes,
        [build.value("x", ["N", 2, 3])],
        [build.value("y", ["N", "k"])],
        [build.const(name, np.array(value, "i8")) for name, value in constants.items()],
    )
    inferred = graph.infer_shapes(graph.load(put(model)), {"x": (4, 2, 3)})
    assert shapes_of(inferred)["y"] == ["4", "6"]


def test_weights_are_shared_with_the_input(small_model):
    model = graph.load(small_model)
    inferred = graph.infer_shapes(model)
    pairs = zip(model.tensors(), inferred.tensors(), strict=True)
    assert all(one is other for one, other in pairs)
    assert [v.name for v in inferred.ir.graph.inputs] == ["x"]


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (1, 3, 16), (1, 3, 16, 16, 1)])
def test_shapes_that_contradict_the_input(small_model, shape):
    model = graph.load(small_model)
    with pytest.raises(ModelError, match=r"x: shape does not fit .*expected Nx3x16x16"):
        graph.costs(model, {"x": shape})
