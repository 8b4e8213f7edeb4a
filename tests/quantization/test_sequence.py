import dataclasses

import numpy as np
import pytest

from edgekit import graph, native
from edgekit import target as targets
from edgekit.graph.surgery import constant_of
from edgekit.quantization import emit
from edgekit.quantization.loss import losses_of
from edgekit.quantization.packing import packed
from edgekit.quantization.sequence import fitted


@pytest.fixture(params=["x86", "jetson"])
def form(request):
    return targets.load(request.param)


def units_of(plan):
    return frozenset(unit.name for unit in plan.units)


def losses(residual, models, rows, folder):
    files = [folder / f"{index}.onnx" for index in range(len(models))]
    graph.save(residual, folder / "float.onnx")
    for model, file in zip(models, files, strict=True):
        graph.save(model, file)
    samples = list(rows.samples())
    found = native.call("running", losses_of, folder / "float.onnx", files, samples)
    return [sqnr_db for sqnr_db, _ in found]


@pytest.mark.parametrize("bits", [8, 4])
def test_fitted_layers_are_nearer_to_the_float_model(form, bits, request, tmp_path):
    """Samples that nothing was fitted to judge it."""
    residual, plan, rows = map(request.getfixturevalue, ("residual", "plan", "rows"))
    seen = type(rows)(np.random.default_rng(8).standard_normal((160, 3, 12, 12)).astype("f4"))
    plain = dataclasses.replace(plan, weight_bits=bits)
    start = emit(residual, plain, form, units_of(plan))
    fits = fitted(residual, start, plan.units, seen, tmp_path, bits=bits)
    assert set(fits) <= units_of(plan)
    assert any(fit.weight is not None for fit in fits.values())
    better = emit(residual, dataclasses.replace(plain, fits=fits), form, units_of(plan))
    before, after = losses(residual, [start, better], rows, tmp_path)
    assert after > before + (3.0 if bits == 4 else 0.0)
    assert not (tmp_path / "sequence").exists()


def test_biases_alone_leave_the_integers(residual, plan, rows, tmp_path):
    x86 = targets.load("x86")
    start = emit(residual, plan, x86, units_of(plan))
    fits = fitted(residual, start, plan.units, rows, tmp_path, bits=None)
    assert all(fit.weight is None and fit.bias is not None for fit in fits.values())


def test_two_fits_are_the_same(residual, plan, rows, tmp_path):
    x86 = targets.load("x86")
    start = emit(residual, plan, x86, units_of(plan))
    once, again = (fitted(residual, start, plan.units, rows, tmp_path, bits=8) for _ in range(2))
    assert once.keys() == again.keys()
    for name, fit in once.items():
        assert np.array_equal(fit.bias, again[name].bias) or fit.bias is again[name].bias is None


def test_4_bits_are_stored_in_4_bits_and_read_as_before(residual, plan, rows, tmp_path):
    x86 = targets.load("x86")
    newer = graph.convert(residual, 21)
    held = emit(newer, dataclasses.replace(plan, weight_bits=4), x86, units_of(plan))
    small = packed(held, 4, x86)
    files = [tmp_path / "held.onnx", tmp_path / "small.onnx"]
    for model, file in zip((held, small), files, strict=True):
        graph.save(model, file)
    samples = list(rows.samples())
    ((sqnr_db, _),) = native.call("running", losses_of, files[0], files[1:], samples)
    assert sqnr_db == np.inf
    weights = [
        constant_of(node.inputs[0])
        for node in graph.load(files[1]).ir.graph
        if node.op_type == "DequantizeLinear"
        and node.inputs[0].producer() is not None
        and node.inputs[0].producer().op_type == "Cast"
    ]
    assert len(weights) == 6
    assert all(weight.dtype == np.int8 and np.abs(weight).max() <= 7 for weight in weights)
    saved = sum(weight.size for weight in weights) / 2
    assert files[1].stat().st_size < files[0].stat().st_size - 0.4 * saved
