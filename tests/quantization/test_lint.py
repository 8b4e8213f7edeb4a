import numpy as np
import onnx_ir as ir
import pytest

from edgekit import target as targets
from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting import lint
from edgekit.quantization import emit

EVERY = ("x86", "arm-cpu", "jetson")


def emitted(residual, plan, name):
    units = frozenset(unit.name for unit in plan.units)
    graph = emit(residual, plan, targets.load(name), units).editable()
    return graph, {node.name: node for node in graph.graph}


def findings(graph, name):
    return lint(Model(ir=graph, name="planted"), targets.load(name))


def replace(graph, node, index, array):
    name = f"planted-{len(graph.graph.initializers)}"
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.graph.register_initializer(value)
    node.replace_input_with(index, value)


def test_a_float_graph_has_nothing_to_mend(residual, target):
    assert lint(residual, target) == ()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("other", EVERY)
def test_one_targets_graph_is_another_targets_finding(residual, plan, name, other):
    graph, _ = emitted(residual, plan, name)
    found = findings(graph, other)
    assert bool(found) == (name != other)
    if other == "jetson" and name != "jetson":
        assert any("zero-point" in f.what for f in found)
        assert any("bias is quantized" in f.what for f in found)
        assert all(f.severity == "reject" for f in found)


@pytest.mark.parametrize("name", EVERY)
def test_a_scale_of_zero(residual, plan, name):
    graph, nodes = emitted(residual, plan, name)
    replace(graph, nodes["x_quantize"], 1, np.float32(0))
    assert any(f.severity == "reject" and "scale is zero" in f.what for f in findings(graph, name))


def test_a_zero_point_on_jetson(residual, plan):
    graph, nodes = emitted(residual, plan, "jetson")
    replace(graph, nodes["h1_quantize"], 2, np.int8(3))
    (found,) = findings(graph, "jetson")
    assert (found.severity, found.where) == ("reject", "h1_quantize")
    assert "its zero-point is not 0" in found.what


def test_an_activation_of_the_wrong_type(residual, plan):
    graph, nodes = emitted(residual, plan, "x86")
    replace(graph, nodes["h1_quantize"], 2, np.int8(3))
    (found,) = findings(graph, "x86")
    assert found.severity == "slow"
    assert "int8 activations; x86 wants uint8" in found.what


def test_a_per_channel_activation(residual, plan):
    graph, nodes = emitted(residual, plan, "jetson")
    replace(graph, nodes["h1_quantize"], 1, np.full(16, 0.1, np.float32))
    (found,) = findings(graph, "jetson")
    assert (found.severity, found.where) == ("reject", "h1_quantize")
    assert "per channel" in found.what


def test_a_quantized_bias_on_jetson(residual, plan):
    graph, nodes = emitted(residual, plan, "jetson")
    scale, integers = np.full(16, 1e-3, np.float32), np.zeros(16, np.int32)
    node = ir.node("DequantizeLinear", [None, None], attributes={"axis": 0}, name="bias")
    replace(graph, node, 0, integers)
    replace(graph, node, 1, scale)
    graph.graph.insert_before(graph.graph[0], node)
    nodes["dense"].replace_input_with(2, node.outputs[0])
    (found,) = findings(graph, "jetson")
    assert (found.severity, found.where) == ("reject", "dense")
    assert "bias is quantized" in found.what
    assert "--target jetson" in found.remedy


@pytest.mark.parametrize("name", EVERY)
def test_a_weight_of_the_wrong_type_axis_or_zero_point(residual, plan, name):
    graph, nodes = emitted(residual, plan, name)
    dequantize = nodes["dense"].inputs[1].producer()
    integers = constant_of(dequantize.inputs[0])
    dequantize.attributes["axis"] = ir.AttrInt64("axis", 1)
    assert any("along axis 1, wanted 0" in f.what for f in findings(graph, name))
    dequantize.attributes["axis"] = ir.AttrInt64("axis", 0)
    replace(graph, dequantize, 2, np.ones(16, np.int8))
    assert any("weight has a zero-point" in f.what for f in findings(graph, name))
    replace(graph, dequantize, 2, np.zeros(16, np.uint8))
    replace(graph, dequantize, 0, integers.astype(np.uint8))
    assert any("weight is uint8" in f.what for f in findings(graph, name))


@pytest.mark.parametrize("name", ["x86", "arm-cpu"])
def test_a_float_bias_or_one_on_another_scale(residual, plan, name):
    graph, nodes = emitted(residual, plan, name)
    dequantize = nodes["dense"].inputs[2].producer()
    replace(graph, dequantize, 1, np.full(16, 0.5, np.float32))
    assert any("bias scale" in f.what for f in findings(graph, name))
    replace(graph, nodes["dense"], 2, np.zeros(16, np.float32))
    (found,) = findings(graph, name)
    assert (found.severity, found.where) == ("fallback", "dense")
    assert "bias is float" in found.what


@pytest.mark.parametrize("name", ["x86", "jetson"])
def test_half_a_residual_add(residual, plan, name):
    graph, nodes = emitted(residual, plan, name)
    add = nodes["residual"]
    add.replace_input_with(0, add.inputs[0].producer().inputs[0].producer().inputs[0])
    (found,) = (f for f in findings(graph, name) if f.where == "residual")
    assert found.severity == ("slow" if name == "jetson" else "fallback")
    assert "residual Add" in found.what


def test_a_quantize_without_its_dequantize(residual, plan):
    graph, nodes = emitted(residual, plan, "jetson")
    quantize = nodes["h1_quantize"]
    nodes["point"].replace_input_with(0, quantize.inputs[0])
    graph.graph.remove(nodes["h1_dequantize"], safe=True)
    found = findings(graph, "jetson")
    assert any("without a DequantizeLinear" in f.what for f in found)
    assert any("its weight is int8 and its input float" in f.what for f in found)


def test_an_old_opset(residual, plan, target):
    graph, _ = emitted(residual, plan, target.name)
    graph.opset_imports[""] = 12
    assert any(f.where == "opset" and f.severity == "reject" for f in findings(graph, target.name))
