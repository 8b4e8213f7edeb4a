"""Every operator gives onnxruntime's answers, in each form that differs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from edgekit.interpreter.operators import OPERATORS, RECURRENT

RNG = np.random.default_rng(0)


def f(*shape):
    return RNG.standard_normal(shape).astype("f4")


def positive(*shape):
    return (np.abs(RNG.standard_normal(shape)) + 0.1).astype("f4")


def within(*shape):
    return RNG.uniform(-0.9, 0.9, shape).astype("f4")


def i(*numbers):
    return np.array(numbers, "i8")


def b(*shape):
    return RNG.integers(0, 2, shape).astype(bool)


X = f(2, 3, 4)
IMAGE = f(2, 4, 6, 5)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0, 1], "f4")

CASES = [
    *((kind, [X]) for kind in ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity")),
    *((kind, [X]) for kind in ("HardSwish", "Mish", "Neg", "Relu", "Sigmoid", "Sign", "Sin")),
    *((kind, [X]) for kind in ("Asinh", "Cosh", "Sinh", "Softplus", "Softsign", "Tan", "Tanh")),
    *((kind, [within(3, 4)]) for kind in ("Acos", "Asin", "Atanh")),
    *((kind, [positive(3, 4)]) for kind in ("Log", "Reciprocal", "Sqrt")),
    ("Acosh", [positive(3, 4) + 1]),
    ("Round", [np.array([-1.5, -0.5, 0.5, 1.5, 2.4], "f4")]),
    *((kind, [X, f(3, 1)]) for kind in ("Add", "Sub", "Mul", "Div", "Greater", "Less")),
    *((kind, [i(1, 2, 3), i(3, 2, 1)]) for kind in ("Equal", "GreaterOrEqual", "LessOrEqual")),
    *((kind, [b(2, 3), b(3)]) for kind in ("And", "Or", "Xor")),
    *((kind, [i(5, 6), i(3, 3)]) for kind in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    ("BitwiseNot", [i(5, -6)]),
    ("BitShift", [np.array([4, 8], "u1"), np.array([1, 2], "u1")], {"direction": "LEFT"}),
    ("BitShift", [np.array([4, 8], "u1"), np.array([1, 2], "u1")], {"direction": "RIGHT"}),
    ("Not", [b(2, 3)]),
    ("Where", [b(3, 1), X, f(4)]),
    ("Div", [i(-7, 7), i(2, -2)]),
    ("Mod", [i(-7, 7), i(2, -3)]),
    ("Mod", [X, f(2, 3, 4)], {"fmod": 1}),
    ("Pow", [positive(2, 3), f(3)]),
    ("Pow", [i(2, 3), np.array([2.0, 3.0], "f4")]),
    *((kind, [X, f(4), f(3, 1)]) for kind in ("Max", "Min", "Mean", "Sum")),
    ("Clip", [X, np.float32(-0.5), np.float32(0.5)]),
    ("Clip", [X, None, np.float32(0.5)]),
    ("Clip", [X], {"min": -0.5, "max": 0.5}, {"opset": 10}),
    ("LeakyRelu", [X], {"alpha": 0.1}),
    ("PRelu", [X, f(3, 1)]),
    ("Elu", [X], {"alpha": 0.7}),
    ("Selu", [X]),
    ("Celu", [X], {"alpha": 0.7}),
    ("Gelu", [X]),
    ("Gelu", [X], {"approximate": "tanh"}),
    ("HardSigmoid", [X], {"alpha": 0.3, "beta": 0.4}),
    ("HardSigmoid", [X], {"alpha": 1 / 6, "beta": 0.5}),
    ("ThresholdedRelu", [X], {"alpha": 0.3}),
    ("Shrink", [X], {"lambd": 0.3, "bias": 0.2}),
    ("IsNaN", [SPECIAL]),
    ("IsInf", [SPECIAL]),
    ("IsInf", [SPECIAL], {"detect_negative": 0}),
    ("Dropout", [X], {}, {"outputs": 2}),
    # movement
    ("Cast", [X * 10], {"to": 7}),
    ("Cast", [i(0, 3)], {"to": 9}),
    ("CastLike", [X, i(1)]),
    ("Concat", [X, f(2, 1, 4)], {"axis": -2}),
    ("DepthToSpace", [f(1, 8, 2, 3)], {"blocksize": 2}),
    ("DepthToSpace", [f(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [f(1, 2, 4, 6)], {"blocksize": 2}),
    ("Expand", [f(3, 1), i(2, 1, 4)]),
    ("Flatten", [X], {"axis": -1}),
    ("Flatten", [X], {"axis": 0}),
    ("Pad", [X, i(0, 1, 0, 2, 0, -1), np.float32(7)]),
    ("Pad", [X, i(1, 2), None, i(-1)], {"mode": "reflect"}),
    ("Pad", [X, i(0, 2, 0, 0, 0, 1)], {"mode": "edge"}),
    ("Pad", [X, i(0, 2, 0, 0, 0, 1)], {"mode": "wrap"}),
    ("Pad", [X], {"pads": [0, 1, 0, 0, 0, 2], "value": 3.0}, {"opset": 10}),
    ("Reshape", [X, i(0, -1)]),
    ("Reshape", [f(0, 3), i(3, 0)], {"allowzero": 1}),
    ("ReverseSequence", [f(4, 2, 3), i(2, 4)]),
    ("Slice", [X, i(-1, 0), i(-100, 3), i(2, 1), i(-2, 2)]),
    ("Slice", [X, i(1), i(100), i(1)]),
    ("Slice", [X], {"starts": [1], "ends": [3], "axes": [2]}, {"opset": 9}),
    ("Split", [f(2, 5)], {"axis": 1, "num_outputs": 3}, {"outputs": 3}),
    ("Split", [X, i(1, 3)], {"axis": 2}, {"outputs": 2}),
    ("Split", [X], {"axis": 1, "split": [1, 2]}, {"outputs": 2, "opset": 11}),
    ("Squeeze", [f(1, 3, 1)]),
    ("Squeeze", [f(1, 3, 1), i(-1)]),
    ("Squeeze", [f(1, 3, 1)], {"axes": [0]}, {"opset": 11}),
    ("Tile", [X, i(1, 2, 2)]),
    ("Transpose", [X]),
    ("Transpose", [X], {"perm": [1, 2, 0]}),
    ("Trilu", [f(3, 4), np.array(1, "i8")]),
    ("Trilu", [f(3, 4)], {"upper": 0}),
    ("Unsqueeze", [X, i(0, -1)]),
    ("Unsqueeze", [X], {"axes": [1]}, {"opset": 11}),
    # indexing
    ("Compress", [X, np.array([True, False, True])], {"axis": 1}),
    ("Compress", [X, np.array([True, False, True])]),
    ("CumSum", [X, np.array(1, "i8")], {"exclusive": 1, "reverse": 1}),
    ("Gather", [X, np.array([[0, -1], [1, 2]])], {"axis": 1}),
    ("Gather", [X, np.array(-1)], {"axis": 2}),
    ("GatherElements", [X, np.array([[[0, -1, 1, 1]]])], {"axis": 1}),
    ("GatherND", [X, np.array([[0, 1], [1, -1]])]),
    ("GatherND", [X, np.array([[1], [-1]])], {"batch_dims": 1}),
    ("NonZero", [np.array([[1, 0], [2, 3]], "f4")]),
    ("OneHot", [i(0, -1, 2), np.array(3), np.array([0.5, 2], "f4")]),
    ("OneHot", [i(0, -1, 2), np.array(3), np.array([0.5, 2], "f4")], {"axis": 0}),
    ("Scatter", [f(3, 3), np.array([[0, 2]]), f(1, 2)], {}, {"opset": 9}),
    ("ScatterElements", [f(3, 3), np.array([[0, -1]]), f(1, 2)], {"axis": 1}),
    ("ScatterElements", [f(3, 3), np.array([[0, 0]]), f(1, 2)], {"axis": 1, "reduction": "add"}),
    ("ScatterND", [f(3, 3), np.array([[0], [-1]]), f(2, 3)]),
    ("ScatterND", [f(3, 3), np.array([[0, 1], [0, 1]]), f(2)], {"reduction": "mul"}),
    ("TopK", [X, i(2)], {"axis": 1}, {"outputs": 2}),
    ("TopK", [X, i(2)], {"largest": 0}, {"outputs": 2}),
    ("TopK", [X], {"k": 2}, {"outputs": 2, "opset": 9}),
    # constants
    ("Constant", [], {"value_floats": [1.0, 2.0]}),
    ("Constant", [], {"value_int": 3}),
    ("ConstantOfShape", [i(2, 3)]),
    ("EyeLike", [f(3, 4)], {"k": 1}),
    ("EyeLike", [f(3, 3)], {"dtype": 7}),
    ("Range", [np.array(1.0, "f4"), np.array(4.0, "f4"), np.array(0.75, "f4")]),
    ("Range", [np.array(5), np.array(0), np.array(-2)]),
    ("Shape", [X]),
    ("Shape", [X], {"start": 1, "end": -1}),
    ("Size", [X]),
    # reductions
    ("ArgMax", [X], {"axis": 1}),
    ("ArgMax", [np.ones((2, 3), "f4")], {"axis": 1, "select_last_index": 1, "keepdims": 0}),
    ("ArgMin", [X], {"axis": -1}),
    *((f"Reduce{kind}", [X, i(0, -1)]) for kind in ("L1", "L2", "Max", "Mean", "Min", "Prod")),
    *((f"Reduce{kind}", [positive(2, 3), i(1)]) for kind in ("LogSum", "LogSumExp", "SumSquare")),
    ("ReduceSum", [X, i(1)], {"keepdims": 0}),
    ("ReduceSum", [X], {"noop_with_empty_axes": 1}),
    ("ReduceMean", [X]),
    ("ReduceMean", [X], {"axes": [1], "keepdims": 0}, {"opset": 13}),
    ("ReduceMax", [i(1, 5, 3)]),
    # convolution and pooling
    ("Conv", [IMAGE, f(6, 2, 3, 3), f(6)], {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", [IMAGE, f(3, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", [IMAGE, f(3, 4, 2, 2)], {"auto_pad": "SAME_LOWER"}),
    ("Conv", [f(1, 2, 9), f(3, 2, 3)], {"auto_pad": "VALID"}),
    ("Conv", [f(1, 2, 4, 4, 4), f(3, 2, 2, 2, 2)]),
    ("ConvTranspose", [IMAGE, f(4, 3, 3, 3), f(3)], {"strides": [2, 2], "pads": [1, 0, 1, 1]}),
    (
        "ConvTranspose",
        [IMAGE, f(4, 2, 3, 3)],
        {"group": 2, "strides": [2, 2], "output_padding": [1, 1], "dilations": [1, 2]},
    ),
    ("ConvTranspose", [IMAGE, f(4, 3, 3, 3)], {"strides": [2, 2], "output_shape": [12, 10]}),
    ("ConvTranspose", [IMAGE, f(4, 3, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("Col2Im", [f(1, 8, 9), i(4, 4), i(2, 2)]),
    ("Col2Im", [f(1, 8, 9), i(5, 5), i(2, 2)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "ceil_mode": 1, "strides": [2, 2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, {"outputs": 2}),
    ("MaxPool", [f(1, 2, 7)], {"kernel_shape": [3]}),
    ("MaxPool", [RNG.integers(0, 255, (1, 1, 4, 4)).astype("u1")], {"kernel_shape": [2, 2]}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("LpPool", [IMAGE], {"kernel_shape": [2, 2], "p": 3}),
    *((kind, [IMAGE]) for kind in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")),
    # products
    ("MatMul", [f(2, 1, 3, 4), f(5, 4, 2)]),
    ("MatMul", [f(4), f(4, 2)]),
    ("Gemm", [f(4, 3), f(5, 4), f(5)], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [f(3, 4), f(4, 5)]),
    ("Einsum", [f(2, 3, 4), f(2, 4, 5)], {"equation": "bij, bjk -> bik"}),
    ("Det", [f(2, 3, 3)]),
    # normalization
    ("BatchNormalization", [IMAGE, f(4), f(4), f(4), positive(4)], {"epsilon": 1e-3}),
    (
        "BatchNormalization",
        [IMAGE, f(4), f(4), f(4), positive(4)],
        {"training_mode": 1, "momentum": 0.7},
        {"outputs": 3},
    ),
    ("GroupNormalization", [IMAGE, f(4), f(4)], {"num_groups": 2}),
    ("GroupNormalization", [IMAGE, f(2), f(2)], {"num_groups": 2}, {"opset": 18}),
    ("InstanceNormalization", [IMAGE, f(4), f(4)]),
    ("LayerNormalization", [X, f(3, 4), f(3, 4)], {"axis": 1}, {"outputs": 3}),
    ("LayerNormalization", [X, f(4)]),
    ("LpNormalization", [X], {"axis": 1, "p": 1}),
    ("LRN", [IMAGE], {"size": 3, "alpha": 0.1}),
    ("MeanVarianceNormalization", [IMAGE]),
    ("RMSNormalization", [X, f(4)], {}, {"opset": 23}),
    *((kind, [X], {"axis": 1}) for kind in ("Softmax", "LogSoftmax", "Hardmax")),
    *((kind, [X], {}, {"opset": 11}) for kind in ("Softmax", "LogSoftmax", "Hardmax")),
    # quantization
    ("QuantizeLinear", [X * 50, np.float32(0.5), np.array(7, "u1")]),
    ("QuantizeLinear", [X * 50, positive(3), np.zeros(3, "i1")], {"axis": 1}),
    ("QuantizeLinear", [X * 50, np.float32(0.5)]),
    ("DequantizeLinear", [RNG.integers(0, 255, (2, 3)).astype("u1"), f(3), np.zeros(3, "u1")]),
    ("DequantizeLinear", [np.array([-8, 9], "i4"), np.float32(0.1)]),
    (
        "DequantizeLinear",
        [RNG.integers(-9, 9, (2, 4)).astype("i1"), f(2, 2)],
        {"axis": 1, "block_size": 2},
    ),
    ("DynamicQuantizeLinear", [X], {}, {"outputs": 3}),
    # resizing
    ("Resize", [IMAGE, None, np.array([1, 1, 2, 1.6], "f4")]),
    ("Resize", [IMAGE, None, np.array([1, 1, 0.5, 2], "f4")], {"mode": "linear"}),
    ("Resize", [IMAGE, None, None, i(2, 4, 9, 3)], {"mode": "cubic"}),
    (
        "Resize",
        [IMAGE, None, None, i(9, 3)],
        {"mode": "cubic", "axes": [2, 3], "exclude_outside": 1, "cubic_coeff_a": -0.5},
    ),
    (
        "Resize",
        [IMAGE, None, None, i(2, 4, 11, 7)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        "Resize",
        [IMAGE, None, np.array([1, 1, 2, 2], "f4")],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    (
        "Resize",
        [IMAGE, None, None, i(2, 4, 3, 1)],
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    (
        "Resize",
        [IMAGE, np.array([0, 0, 0.2, 0.3, 1, 1, 0.7, 1.2], "f4"), None, i(2, 4, 5, 4)],
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
    ),
    ("Resize", [IMAGE, None, None, i(2, 4, 3, 3)], {"mode": "linear", "antialias": 1}),
    ("Resize", [IMAGE, np.array([1, 1, 2, 2], "f4")], {}, {"opset": 10}),
    ("GridSample", [IMAGE, within(2, 3, 3, 2) * 1.3]),
    (
        "GridSample",
        [IMAGE, within(2, 3, 3, 2) * 1.3],
        {"mode": "cubic", "align_corners": 1, "padding_mode": "border"},
    ),
    (
        "GridSample",
        [IMAGE, within(2, 3, 3, 2) * 1.3],
        {"mode": "bilinear", "padding_mode": "reflection"},
        {"opset": 16},
    ),
    ("Upsample", [IMAGE, np.array([1, 1, 2, 3], "f4")], {}, {"opset": 9}),
]
UNRUN = {"Swish"}
"""What this onnxruntime does not run; their node tests are in tools/bench/node_tests.py."""


def named(case):
    kind, inputs, *rest = case
    return f"{kind}{len(inputs)}{rest[0] if rest else ''}"[:60]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_answer_is_that_of_onnxruntime(case, alike):
    kind, inputs, attributes, options = (*case, {}, {})[:4] if len(case) < 4 else case
    alike(kind, [None if a is None else np.asarray(a) for a in inputs], attributes, **options)


def test_no_operator_is_left_out():
    assert {case[0] for case in CASES} | UNRUN | RECURRENT == set(OPERATORS)
