import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.graph.shapes import infer_shapes
from edgekit.quantization.equalization import equalized
from edgekit.quantization.extremes import Extremes
from edgekit.quantization.homogeneity import scalables
from edgekit.quantization.scaling import scaled
from edgekit.quantization.smoothing import smoothed

RNG = np.random.default_rng(2)


def array(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype("f4")


PADS = {"pads": [1, 1, 1, 1]}
IMAGE, TOKENS = (4, 8, 8), (5, 16)


def node(operator, inputs, output, **attributes):
    return helper.make_node(
        operator, inputs.split(), [output], f"{operator}_{output}", **attributes
    )


def residual():
    """Conv, a depthwise and a grouped one, PRelu, a residual Add, pool, Flatten, Gemm."""
    weights = {
        "w1": array(8, 4, 3, 3),
        "b1": array(8),
        "wd": array(8, 1, 3, 3),
        "wg": array(8, 2, 1, 1),
        "slope": np.full((8, 1, 1), 0.2, "f4"),
        "wf": array(3, 8),
        "bf": array(3),
    }
    nodes = [
        node("Conv", "x w1 b1", "c1", **PADS),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 wd", "cd", group=8, **PADS),
        node("PRelu", "cd slope", "pd"),
        node("MaxPool", "pd", "md", kernel_shape=[3, 3], **PADS),
        node("Conv", "md wg", "cg", group=4),
        node("Add", "cg r1", "sum"),
        node("GlobalAveragePool", "sum", "pool"),
        node("Flatten", "pool", "flat"),
        node("Gemm", "flat wf bf", "out", transB=1),
    ]
    return nodes, weights, IMAGE, 2


def gated():
    """What a Sigmoid makes of a tensor multiplies it: its factors go through, not the gate's."""
    weights = {
        "w1": array(8, 4, 1, 1),
        "wp": array(6, 8, 1, 1),
        "bp": array(6),
        "wq": array(8, 6, 1, 1),
        "wt": array(8, 5, 2, 2),
        "wo": array(2, 5, 1, 1),
    }
    nodes = [
        node("Conv", "x w1", "c1"),
        node("Relu", "c1", "r1"),
        node("ReduceMean", "r1", "m", axes=[2, 3]),
        node("Conv", "m wp bp", "p"),
        node("Relu", "p", "pr"),
        node("Conv", "pr wq", "q"),
        node("Sigmoid", "q", "gate"),
        node("Mul", "r1 gate", "g"),
        node("ConvTranspose", "g wt", "t", strides=[2, 2]),
        node("Conv", "t wo", "out"),
    ]
    return nodes, weights, IMAGE, 3


def transformer():
    """LayerNorm into two MatMuls, Relu between two, a transposition."""
    weights = {
        "s": 1 + array(16, 1)[:, 0],
        "h": array(16, 1)[:, 0],
        "wa": array(16, 12),
        "ba": array(12, 1)[:, 0],
        "wb": array(12, 16),
        "wc": array(16, 12),
        "g": 1 + array(12, 1)[:, 0],
        "wd": array(12, 7),
    }
    nodes = [
        node("LayerNormalization", "x s h", "n"),
        node("MatMul", "n wa", "a0"),
        node("Add", "ba a0", "a"),
        node("Relu", "a", "ar"),
        node("MatMul", "ar wb", "b"),
        node("MatMul", "n wc", "c0"),
        node("Tanh", "c0", "c1"),
        node("Mul", "c1 g", "c"),
        node("MatMul", "c wd", "d0"),
        node("Transpose", "d0", "d", perm=[0, 2, 1]),
        node("Transpose", "b", "bt", perm=[0, 2, 1]),
        node("Concat", "d bt", "out", axis=1),
    ]
    return nodes, weights, TOKENS, 3


@pytest.fixture(params=[residual, gated, transformer], ids=lambda one: one.__name__)
def case(request, tmp_path):
    nodes, weights, shape, count = request.param()
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "case",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    inferred = onnx.shape_inference.infer_shapes(model)
    onnx.save(inferred, tmp_path / "case.onnx")
    return infer_shapes(graph.load(tmp_path / "case.onnx")), count


def test_what_can_be_scaled_is_found_and_any_factors_leave_no_trace(case):
    model, count = case
    found, _ = scalables(model.ir.graph)
    assert len(found) == count
    rng = np.random.default_rng(4)
    factors = [np.exp(rng.standard_normal(one.channels)) for one in found]
    changed = scaled(model, list(zip(found, factors, strict=True)))
    assert largest_difference(model, changed) < 1e-5
    moved = [
        not np.array_equal(value.const_value.numpy(), model.ir.graph.initializers[name].const_value)
        for name, value in changed.ir.graph.initializers.items()
        if name in model.ir.graph.initializers
    ]
    assert sum(moved) >= 2 * count


def test_equalized_channels_have_the_same_range_before_and_behind(tmp_path):
    weights = {"w1": array(8, 4, 1, 1), "b1": array(8), "w2": array(6, 8, 1, 1)}
    weights["w1"][2] *= 50
    model = helper.make_model(
        helper.make_graph(
            [
                node("Conv", "x w1 b1", "c"),
                node("Relu", "c", "r"),
                node("Conv", "r w2", "out"),
            ],
            "pair",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *IMAGE])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 6, 8, 8])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, tmp_path / "pair.onnx")
    model = infer_shapes(graph.load(tmp_path / "pair.onnx"))
    found, _ = scalables(model.ir.graph)
    (factors,) = equalized(model.ir.graph, found)
    changed = scaled(model, [(found[0], factors)])
    before, behind = (
        np.abs(changed.ir.graph.initializers[name].const_value.numpy()).max(axis=axes)
        for name, axes in (("w1", (1, 2, 3)), ("w2", (0, 2, 3)))
    )
    assert (before / behind).max() == pytest.approx((before / behind).min(), rel=1e-3)
    assert largest_difference(model, changed) < 1e-5


def test_an_outlier_is_moved_into_the_weights_and_nothing_else_is_touched(case):
    model, _ = case
    found, _ = scalables(model.ir.graph)
    nodes = {one.outputs[0].name: one for one in model.ir.graph}
    one = max(found, key=lambda scalable: scalable.channels)
    even, outlier = (np.ones(one.channels) for _ in range(2))
    outlier[1] = 100

    def factors(peaks):
        seen = Extremes(samples=1)
        for end in one.readers:
            parts = {"low": -peaks, "high": peaks, "power": peaks**2 / 3}
            seen.parts |= {(end.reads, part): value for part, value in parts.items()}
        return smoothed(nodes, one, seen, bits=8, symmetric=False)

    found_scales = factors(outlier)
    assert found_scales is not None
    others = np.delete(found_scales, 1)
    assert found_scales[1] > 5 * np.median(others)
    plain = factors(even)
    assert plain is None or plain.max() < 8 * plain.min()
