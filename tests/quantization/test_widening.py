import numpy as np
import onnx_ir as ir
import pytest

from edgekit import graph, native, passes
from edgekit import target as targets
from edgekit.activations import outputs_of
from edgekit.dataset import open_data
from edgekit.graph import Model
from edgekit.quantization.widening import widened


def narrowed(model, half):
    """The model with all float32 in a half-precision type."""
    edited = model.editable()
    for value in edited.graph.initializers.values():
        narrow = value.const_value.numpy().astype(half.numpy())
        value.const_value = ir.tensor(narrow, dtype=half, name=value.name)
        value.dtype = half
    for value in (*edited.graph.inputs, *edited.graph.outputs):
        value.dtype = half
    return Model(ir=edited, name=model.name)


def inner(model):
    """All nodes but the one that makes the output."""
    return [node for node in model.ir.graph if not node.outputs[0].is_graph_output()]


@pytest.fixture(params=[ir.DataType.FLOAT16, ir.DataType.BFLOAT16], ids=lambda one: one.name)
def half(request):
    return request.param


def test_float32_is_left_alone(small_model):
    model = graph.load(small_model)
    assert widened(model) is model


def test_the_inside_becomes_float32_and_the_ends_stay(small_model, half, tmp_path):
    model = graph.load(small_model)
    narrow = narrowed(model, half)
    wide = widened(narrow)
    assert wide.inputs == narrow.inputs
    assert wide.outputs == narrow.outputs
    assert all(tensor.dtype == ir.DataType.FLOAT for tensor in wide.tensors())
    assert not any(value.dtype == half for node in inner(wide) for value in node.outputs)
    if half == ir.DataType.FLOAT16:
        graph.save(wide, tmp_path / "wide.onnx")
        graph.load(tmp_path / "wide.onnx")


def test_float16_answers_as_before_and_is_quantized(small_model, tmp_path):
    model = graph.load(small_model)
    narrow = narrowed(model, ir.DataType.FLOAT16)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((48, 3, 16, 16)).astype(np.float16))
    data = open_data(tmp_path / "data.npz", narrow)
    context = passes.Context(
        target=targets.load("x86"),
        data=data,
        latencies_of=lambda _models, _effort: None,
        workspace=tmp_path,
    )
    outcome = passes.Quantize(placement="all").apply(narrow, context)
    assert outcome.facts["quantized units"] == 4
    files = [tmp_path / name for name in ("narrow.onnx", "int8.onnx")]
    graph.save(narrow, files[0])
    graph.save(outcome.model, files[1])
    wanted, found = (
        np.concatenate([row[0] for row in native.call("running", outputs_of, file, samples)])
        for samples in [list(data.samples())]
        for file in files
    )
    assert found.dtype == np.float16
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
