"""Matrices whose weights alone are integers, as onnxruntime's MatMulNBits reads them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native
from edgekit.quantization.loss import losses_of
from edgekit.quantization.weight_only import large_matrices, narrowed

IN, OUT = 600, 500


@pytest.fixture
def model(tmp_path):
    """A MatMul, a Gemm stored either way, and one that is small; 600 is no multiple of a block."""
    rng = np.random.default_rng(4)

    def weight(name, *shape):
        scale = 1 / np.sqrt(max(shape))
        return numpy_helper.from_array((scale * rng.standard_normal(shape)).astype("f4"), name)

    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["g"], "second", transB=1),
        helper.make_node("Gemm", ["g", "w3", "b3"], ["h"], "third"),
        helper.make_node("MatMul", ["h", "w4"], ["y"], "small"),
    ]
    weights = [
        weight("w1", IN, OUT),
        weight("w2", IN, OUT),
        weight("b2", IN),
        weight("w3", IN, OUT),
        weight("b3", OUT),
        weight("w4", OUT, 8),
    ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "matrices",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", IN])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(proto, tmp_path / "model.onnx")
    return graph.load(tmp_path / "model.onnx")


def test_only_large_matrices_take_this_form(model):
    assert large_matrices(model) == ("a", "g", "h")


@pytest.mark.parametrize(("bits", "least_db", "share"), [(8, 35, 0.32), (4, 15, 0.19)])
def test_the_answers_stay_and_the_file_shrinks(model, bits, least_db, share, tmp_path):
    small = narrowed(model, large_matrices(model), bits)
    files = [tmp_path / "float.onnx", tmp_path / "small.onnx"]
    for one, file in zip((model, small), files, strict=True):
        graph.save(one, file)
    assert files[1].stat().st_size < share * files[0].stat().st_size
    loaded = graph.load(files[1])
    kinds = [node.op_type for node in loaded.ir.graph]
    assert kinds.count("MatMulNBits") == 3
    assert [value.name for value in loaded.ir.graph.outputs] == ["y"]
    rng = np.random.default_rng(5)
    samples = [{"x": row} for row in rng.standard_normal((16, IN)).astype("f4")]
    ((sqnr_db, _),) = native.call("running", losses_of, files[0], files[1:], samples)
    assert sqnr_db > least_db


def test_the_model_itself_stays(model):
    before = [node.op_type for node in model.ir.graph]
    narrowed(model, large_matrices(model)[:1], 4)
    assert [node.op_type for node in model.ir.graph] == before
