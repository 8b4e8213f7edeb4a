import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.graph.equality import largest_difference
from edgekit.measurement import Interval

CHANNELS, SIZE = 16, 6


def weight(name, *shape):
    array = np.random.default_rng(len(name)).standard_normal(shape).astype("f4")
    return numpy_helper.from_array(array, name)


def gated(folder, *, size=SIZE, batch="N", constant=False, image_first=True, name="gated"):
    """Write a convolution that is scaled by a squeeze-and-excite gate."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["image"], "conv", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"], "pool"),
        helper.make_node("Conv", ["pooled", "v"], ["inner"], "gate"),
        helper.make_node("Sigmoid", ["inner"], ["sigmoid"], "sigmoid"),
    ]
    weights = [weight("w", CHANNELS, 3, 3, 3), weight("v", CHANNELS, CHANNELS, 1, 1)]
    gate = "sigmoid"
    if constant:
        weights.append(weight("fixed", 1, CHANNELS, 1, 1))
        nodes[1:] = []
        gate = "fixed"
    operands = ["image", gate] if image_first else [gate, "image"]
    nodes.append(helper.make_node("Mul", operands, ["y"], "scale"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CHANNELS, size, size])
    made = helper.make_graph(nodes, "gated", [x], [y], weights)
    file = folder / f"{name}.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(made, opset_imports=[opset], ir_version=8), file)
    return graph.load(file)


def context(folder, ratio):
    """A device on which the second of two models takes this share of the first's time."""

    def latencies_of(models, _effort):
        if ratio is None:
            return None
        values = [1e-3, *(1e-3 * ratio for _ in models[1:])]
        return [Interval(low=0.99 * v, value=v, high=1.01 * v, confidence=0.95) for v in values]

    return passes.Context(
        target=targets.load("x86"), data=None, latencies_of=latencies_of, workspace=folder
    )


def operators(model):
    return [node.op_type for node in model.ir.graph]


@pytest.mark.parametrize("image_first", [True, False])
@pytest.mark.parametrize("batch", ["N", 1])
def test_a_gate_is_spread_where_that_is_faster(tmp_path, image_first, batch):
    model = gated(tmp_path, image_first=image_first, batch=batch)
    outcome = passes.Layout().apply(model, context(tmp_path, 0.9))
    assert outcome.changed
    assert outcome.facts["gates spread"] == ["scale"]
    assert operators(outcome.model) == [*operators(model)[:-1], "Resize", "Mul"]
    assert largest_difference(model, outcome.model) == 0
    shapes = {v.name: v.shape for node in outcome.model.ir.graph for v in node.outputs}
    product = list(outcome.model.ir.graph)[-1]
    first, second = (shapes[value.name] for value in product.inputs)
    assert first == second, "a runtime can see that both have one shape"


@pytest.mark.parametrize(("ratio", "reason"), [(1.0, "1.000x"), (1.2, "1.200x"), (None, "measure")])
def test_a_gate_stays_where_that_is_not_faster_or_not_known(tmp_path, ratio, reason):
    model = gated(tmp_path)
    outcome = passes.Layout().apply(model, context(tmp_path, ratio))
    assert outcome.model is model
    assert not outcome.changed
    assert reason in outcome.skipped[0].reason


@pytest.mark.parametrize("options", [{"size": "S"}, {"size": 1}, {"constant": True}])
def test_nothing_else_is_touched(tmp_path, options):
    model = gated(tmp_path, **options)
    outcome = passes.Layout().apply(model, context(tmp_path, 0.5))
    assert outcome.model is model
    assert outcome.skipped == ()


def test_only_gates_of_small_images_are_spread_where_that_is_fastest(tmp_path):
    two = gated(tmp_path).editable()
    image = two.graph.outputs[0]
    pool = ir.node("MaxPool", [image], {"kernel_shape": [2, 2], "strides": [2, 2]}, name="half")
    gate = ir.node("GlobalAveragePool", [pool.outputs[0]], name="pool2")
    scale = ir.node("Mul", [pool.outputs[0], gate.outputs[0]], name="small")
    two.graph.extend([pool, gate, scale])
    scale.outputs[0].name, scale.outputs[0].dtype = "z", ir.DataType.FLOAT
    two.graph.outputs[0] = scale.outputs[0]
    surroundings = context(tmp_path, None)

    def latencies_of(models, _effort):
        resizes = [operators(one).count("Resize") for one in models]
        assert resizes == [0, 1, 2]
        values = [{0: 1e-3, 1: 0.8e-3, 2: 0.9e-3}[count] for count in resizes]
        return [Interval(low=v, value=v, high=v, confidence=0.95) for v in values]

    surroundings = dataclasses.replace(surroundings, latencies_of=latencies_of)
    outcome = passes.Layout().apply(graph.Model(ir=two, name="two"), surroundings)
    assert outcome.facts["gates spread"] == ["small"]
    assert outcome.facts["latency ratio"] == pytest.approx(0.8)


def test_simplify_gathers_what_was_spread(tmp_path):
    model = gated(tmp_path)
    spread = passes.Layout().apply(model, context(tmp_path, 0.5)).model
    back = passes.Simplify().apply(spread, context(tmp_path, None))
    assert back.facts["gates gathered"] == 1
    assert operators(back.model) == operators(model)
    assert largest_difference(model, back.model) == 0


def test_an_upsampling_that_is_no_gate_stays(tmp_path):
    model = gated(tmp_path)
    spread = passes.Layout().apply(model, context(tmp_path, 0.5)).model.editable()
    product = list(spread.graph)[-1]
    spread.graph.outputs.append(product.inputs[1])
    kept = passes.Simplify().apply(graph.Model(ir=spread, name="two"), context(tmp_path, None))
    assert "Resize" in operators(kept.model)
