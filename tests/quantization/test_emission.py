import dataclasses
from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph, native
from edgekit import target as targets
from edgekit.activations import outputs_of
from edgekit.errors import ModelError
from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting import lint
from edgekit.quantization import emit, plan_of
from edgekit.quantization.kernels import int8_share, optimized_operators
from edgekit.quantization.loss import losses_of


def every(plan):
    return frozenset(unit.name for unit in plan.units)


def nodes(model, operator):
    return [node for node in model.ir.graph if node.op_type == operator]


def zero_points(model):
    return [constant_of(node.inputs[2]) for node in nodes(model, "QuantizeLinear")]


@pytest.fixture
def emitted(residual, plan, target):
    return emit(residual, plan, target, every(plan))


def test_the_input_is_unchanged(residual, plan):
    before = ir.to_proto(residual.ir).SerializeToString(deterministic=True)
    emit(residual, plan, targets.load("x86"), every(plan))
    assert ir.to_proto(residual.ir).SerializeToString(deterministic=True) == before


def test_checker_runtime_and_lint_accept_every_form(emitted, target, tmp_path):
    graph.save(emitted, tmp_path / "q.onnx")
    again = graph.load(tmp_path / "q.onnx")
    assert lint(again, target) == ()


def test_activation_types_and_zero_points(emitted, target):
    found = zero_points(emitted)
    form = target.quantized
    assert {str(zero.dtype) for zero in found} == {form.activations}
    assert all(zero.shape == () for zero in found)
    if form.symmetric_activations:
        assert all(zero == 0 for zero in found)
    else:
        assert len({int(zero) for zero in found}) > 1


def test_every_weight_is_int8_per_channel_symmetric(emitted, plan):
    weights = [
        node
        for node in nodes(emitted, "DequantizeLinear")
        if (data := constant_of(node.inputs[0])) is not None and data.dtype == np.int8
    ]
    assert len(weights) == sum(unit.weight is not None for unit in plan.units) == 6
    for node in weights:
        integers, scale = constant_of(node.inputs[0]), constant_of(node.inputs[1])
        axis = node.attributes.get_int("axis")
        assert scale.shape == (integers.shape[axis],)
        assert not constant_of(node.inputs[2]).any()
        assert np.abs(integers.astype(int)).max() <= 127


def test_biases_are_int32_or_float_as_the_target_wants(emitted, target):
    readers = nodes(emitted, "Conv") + nodes(emitted, "Gemm")
    biases = [node.inputs[2] for node in readers]
    sources = [value.producer() for value in biases]
    assert len(biases) == 5
    if target.quantized.bias == "float":
        assert all(source is None for source in sources)
        return
    assert all(source.op_type == "DequantizeLinear" for source in sources)
    for node, source in zip(readers, sources, strict=True):
        assert constant_of(source.inputs[0]).dtype == np.int32
        scales = [constant_of(node.inputs[i].producer().inputs[1]) for i in (0, 1)]
        assert constant_of(source.inputs[1]) == pytest.approx(scales[0] * scales[1], rel=1e-6)


def test_placement(emitted, target):
    grids = Counter(node.inputs[0].name for node in nodes(emitted, "QuantizeLinear"))
    assert set(grids.values()) == {1}, "one pair a tensor, shared by its readers"
    residual = next(node for node in emitted.ir.graph if node.name == "residual")
    assert all(value.producer().op_type == "DequantizeLinear" for value in residual.inputs)
    convolutions = nodes(emitted, "Conv")
    assert all(node.inputs[0].producer().op_type == "DequantizeLinear" for node in convolutions)
    if target.name == "jetson":
        assert set(grids) == {"x", "r0", "h1", "c2", "a0", "r3", "f", "m"}
        assert len(nodes(emitted, "Relu")) == len(nodes(emitted, "Clip")) == 1
    else:
        wanted = {"x", "r0", "c1", "h1", "c2", "a0", "r3", "g", "f", "m"}
        assert set(grids) == wanted
        assert not nodes(emitted, "Relu"), "its grid implies it"
        assert not nodes(emitted, "Clip"), "its grid implies it"
    head = next(node for node in emitted.ir.graph if node.name == "head")
    assert head.outputs[0].is_graph_output(), "the answer needs no grid"


def test_onnxruntime_makes_int8_kernels_of_the_plan(residual, plan, tmp_path):
    file = tmp_path / "q.onnx"
    graph.save(emit(residual, plan, targets.load("x86"), every(plan)), file)
    operators = native.call("optimizing", optimized_operators, file)
    assert int8_share(operators, plan.units) == 1.0
    assert operators["QLinearConv"] == 4
    graph.save(residual, file)
    assert int8_share(native.call("optimizing", optimized_operators, file), plan.units) == 0.0


def test_outputs_stay_close(residual, plan, seen, emitted, tmp_path):
    files = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    graph.save(residual, files[0])
    graph.save(emitted, files[1])
    samples = [probe.sample for probe in seen.probes]
    [(sqnr_db, flips_pt)] = native.call("running", losses_of, files[0], files[1:], samples)
    assert sqnr_db > 25
    assert flips_pt < 10
    names = [spec.name for spec in emitted.outputs]
    assert names == ["logits"]


def test_a_part_of_the_plan_leaves_the_rest_float(residual, plan):
    only = emit(residual, plan, targets.load("x86"), frozenset(("dense",)))
    assert len(nodes(only, "QuantizeLinear")) == 2
    assert constant_of(next(n for n in only.ir.graph if n.name == "stem").inputs[1]).dtype == "f4"
    relu = nodes(only, "Relu")
    assert len(relu) == 1
    assert not nodes(only, "Clip")


def test_nothing_enabled_changes_nothing(residual, plan, tmp_path):
    same = emit(residual, plan, targets.load("x86"), frozenset())
    assert not nodes(same, "QuantizeLinear")


def test_an_old_opset_is_refused(residual, plan):
    old = residual.editable()
    old.opset_imports[""] = 11
    with pytest.raises(ModelError, match=r"opset is too old .*found 11, expected >= 13"):
        emit(Model(ir=old, name="old"), plan, targets.load("x86"), every(plan))


def test_the_mean_output_survives_rounding(residual, rows, calibrate, tmp_path):
    """The bias makes up for what rounding the weights shifts."""
    only = frozenset(("stem",))
    model = Model(ir=residual.editable(), name="stem")
    weight = model.ir.graph.initializers["w_stem"]
    skewed = weight.const_value.numpy().copy()
    skewed[:, 0, 0, 0] = 8.0
    weight.const_value = ir.tensor(skewed, name="w_stem")
    shifted = type(rows)(rows.x + 3)
    found = plan_of(model.ir.graph, calibrate(model, shifted))
    files = [tmp_path / name for name in ("float.onnx", "kept.onnx", "plain.onnx")]
    graph.save(model, files[0])
    graph.save(emit(model, found, targets.load("jetson"), only), files[1])
    bare = dataclasses.replace(found, means={})
    graph.save(emit(model, bare, targets.load("jetson"), only), files[2])
    samples = list(shifted.samples())
    outputs = [np.stack([o[0] for o in _run(file, samples)]) for file in files]
    lost = [float(np.abs((found - outputs[0]).mean(axis=0)).mean()) for found in outputs[1:]]
    assert lost[0] < lost[1] / 2


def _run(file, samples):
    return native.call("running", outputs_of, file, samples)
