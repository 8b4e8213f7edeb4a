"""What onnxruntime makes of a quantized graph, and sums that saturate without VNNI."""

import platform

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import target as targets
from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.linting import check, kernels
from edgekit.linting.kernels import has_vnni, kernel_findings, saturating
from edgekit.quantization import emit

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="asks the runtime here")


def quantized(residual, plan, name):
    return emit(residual, plan, targets.load(name), frozenset(unit.name for unit in plan.units))


@on_x86
def test_a_graph_for_x86_runs_in_int8_here(residual, plan):
    assert list(kernel_findings(quantized(residual, plan, "x86"), targets.load("x86"))) == []


@on_x86
def test_signed_activations_leave_convolutions_in_float_on_x86(residual, plan):
    model = quantized(residual, plan, "arm-cpu")
    found = list(kernel_findings(model, targets.load("x86")))
    assert found
    assert all(f.severity == "fallback" and "runs in float" in f.what for f in found)
    assert {f.where for f in found} <= {node.name for node in model.ir.graph}
    assert set(found) <= set(check(model, targets.load("x86")))


def test_a_target_of_another_kind_is_not_asked_here(residual, plan):
    assert list(kernel_findings(quantized(residual, plan, "jetson"), targets.load("jetson"))) == []


def test_weights_of_eight_bits_may_saturate_without_vnni(residual, plan):
    found = list(saturating(quantized(residual, plan, "x86")))
    assert {"stem", "dense"} <= {f.where for f in found}
    assert all(f.severity == "reject" and "saturate" in f.what for f in found)


def test_weights_of_seven_bits_never_saturate(residual, plan):
    graph = quantized(residual, plan, "x86").editable()
    for node in list(graph.graph):
        array = constant_of(node.inputs[0]) if node.op_type == "DequantizeLinear" else None
        if array is not None and array.dtype == np.int8:
            value = ir.Value(name=f"{node.name}-7", const_value=ir.tensor(array // 2))
            graph.graph.register_initializer(value)
            node.replace_input_with(0, value)
    assert list(saturating(Model(ir=graph, name="seven"))) == []


@on_x86
def test_saturation_is_told_only_where_the_cpu_has_no_vnni(residual, plan, monkeypatch):
    model = quantized(residual, plan, "x86")
    for flags, told in (({"avx2"}, True), ({"avx2", "avx_vnni"}, False), ((), False)):
        monkeypatch.setattr(kernels, "_cpu_flags", lambda flags=flags: frozenset(flags))
        found = list(kernel_findings(model, targets.load("x86")))
        assert any("saturate" in f.what for f in found) == told


def test_vnni_by_its_flags():
    assert has_vnni(frozenset({"avx512_vnni"}))
    assert has_vnni(frozenset({"avx_vnni"}))
    assert not has_vnni(frozenset({"avx2", "avx512f"}))


def test_a_slow_kind_in_int8(residual, plan):
    found = check(quantized(residual, plan, "jetson"), targets.load("jetson"))
    assert {f.where for f in found} == {"stem", "depth"}
    assert all(f.severity == "slow" and "slower than in float" in f.what for f in found)
