import dataclasses

import numpy as np
import onnx_ir as ir
import pytest
import tomlkit

from edgekit import graph, native, passes
from edgekit import target as targets
from edgekit.activations import outputs_of
from edgekit.dataset import open_data
from edgekit.errors import UsageError


@pytest.fixture(scope="module")
def model(small_model):
    return graph.load(small_model)


def context(model, data, folder, name="jetson", latencies_of=lambda _models, _effort: None):
    return passes.Context(
        target=targets.load(name),
        data=open_data(data, model),
        latencies_of=latencies_of,
        workspace=folder,
        shapes={"x": (1, 3, 16, 16)},
    )


@pytest.fixture(params=passes.PASSES, ids=lambda one: one.name)
def kind(request):
    return request.param


def example(kind):
    """A pass as its name alone builds it, but for one that must be told how much goes."""
    return kind(keep_macs=0.8) if kind in {passes.Prune, passes.Student} else kind()


@pytest.mark.parametrize("name", ["x86", "arm-cpu", "jetson"])
def test_input_unchanged_output_valid_and_close(kind, name, model, small_data, tmp_path):
    if kind in {passes.Student, passes.Finetune, passes.Qat}:
        pytest.skip("trains: tests/passes/test_student.py")
    before = ir.to_proto(model.ir).SerializeToString(deterministic=True)
    surroundings = context(model, small_data, tmp_path, name)
    outcome = example(kind).apply(model, surroundings)
    assert ir.to_proto(model.ir).SerializeToString(deterministic=True) == before
    assert outcome.changed == (outcome.model is not model)
    file, original = tmp_path / "out.onnx", tmp_path / "in.onnx"
    graph.save(outcome.model, file)
    graph.save(model, original)
    again = graph.load(file)
    assert again.inputs == model.inputs
    assert [spec.name for spec in again.outputs] == [spec.name for spec in model.outputs]
    samples = [s for s, _ in zip(surroundings.data.samples(), range(8), strict=False)]
    found, wanted = (
        np.concatenate([row[0] for row in native.call("running", outputs_of, path, samples)])
        for path in (file, original)
    )
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert difference <= (0.2 if kind.tolerance is None else max(kind.tolerance, 1e-6))
    assert set(tmp_path.iterdir()) == {file, original}, "nothing else is left behind"


def test_a_pass_is_a_frozen_dataclass_with_a_name(kind):
    assert kind.__dataclass_params__.frozen
    assert passes.find(kind.name) is kind


def test_parameters_survive_toml(kind):
    params = dataclasses.asdict(example(kind))
    read = tomlkit.parse(tomlkit.dumps(params)).unwrap()
    assert passes.build(kind.name, read) == example(kind)


def test_an_unknown_pass_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'quantize'"):
        passes.find("quantise")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"metod": "auto"}, r"quantize.metod: unknown parameter .*one of method"),
        ({"method": 3}, r"quantize.method: a parameter of the wrong type"),
        ({"method": "best"}, r"quantize.method: unknown calibration method"),
        ({"placement": "none"}, r"quantize.placement: unknown placement .*measured, all"),
        ({"weight_bits": 5}, r"quantize.weight_bits: weights cannot have so many bits"),
        ({"min_sqnr_db": True}, r"quantize.min_sqnr_db: a parameter of the wrong type"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(UsageError, match=message):
        passes.build("quantize", params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ignore": "conv1"}, r"prune.ignore: .*expected a list of names"),
        ({"ignore": ["conv1", 2]}, r"prune.ignore: a parameter of the wrong type"),
        ({"ratios": ["conv1"]}, r"prune.ratios: .*expected a table of numbers by name"),
        ({"ratios": {"conv1": "half"}}, r"prune.ratios: a parameter of the wrong type"),
        ({"ratios": {"conv1": True}}, r"prune.ratios: a parameter of the wrong type"),
        ({"ratios": {"conv1": 0.5}}, r"prune: how much .*found keep_macs and ratios"),
        ({"keep_macs": 1.5}, r"prune.keep_macs: the share is out of range"),
        (
            {"keep_macs": 0, "max_latency_s": -1.0},
            r"prune.max_latency_s: no possible latency \(found -1 s",
        ),
        ({"keep_macs": 0}, r"prune: how much is to go .*found none"),
        ({"criterion": "obss"}, r"unknown criterion 'obss'; did you mean 'obs'\?"),
        (
            {"granularity": "head"},
            r"prune.granularity: .*'head'.*one of mixed, channels, heads, blocks",
        ),
        ({"rounds": -1}, r"prune.rounds: out of range .*found -1"),
        ({"schedule": "polynomial"}, r"prune.schedule: a polynomial .*found rounds 0.*2 rounds"),
        (
            {"schedule": "polynomial", "rounds": 3, "keep_macs": 0.0, "ratios": {"conv1": 0.5}},
            r"prune.schedule: .*cut at once",
        ),
    ],
)
def test_parameters_of_prune_are_checked(params, message):
    with pytest.raises(UsageError, match=message):
        passes.build("prune", {"keep_macs": 0.5, **params})


def test_lists_and_tables_are_taken():
    built = passes.build("prune", {"ratios": {"conv*": 0.5, "fc": 0.1}, "ignore": ["head"]})
    assert built == passes.Prune(ratios={"conv*": 0.5, "fc": 0.1}, ignore=("head",))


def test_a_whole_number_is_a_number():
    assert passes.build("quantize", {"min_sqnr_db": 30}).min_sqnr_db == 30


def test_fp16_halves_the_weights_and_keeps_float_ends(model, small_data, tmp_path):
    outcome = passes.Fp16().apply(model, context(model, small_data, tmp_path))
    assert outcome.changed
    kinds = {value.dtype for value in outcome.model.ir.graph.initializers.values()}
    assert ir.DataType.FLOAT16 in kinds
    assert ir.DataType.FLOAT not in kinds
    assert {spec.dtype for spec in (*outcome.model.inputs, *outcome.model.outputs)} == {"float32"}


def test_fp16_is_left_where_it_is_not_fast(model, small_data, tmp_path):
    outcome = passes.Fp16().apply(model, context(model, small_data, tmp_path, "x86"))
    assert not outcome.changed
    assert "fp16" in outcome.skipped[0].reason
