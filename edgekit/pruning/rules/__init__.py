"""What each operator does with channels: one table.

An operator without a rule pins what it touches.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from edgekit.pruning.flow import Flow
from edgekit.pruning.rules import elementwise, movement, recurrent, reduction, reshaping, weighted

__all__ = ["RULES", "Rule"]

Rule = Callable[[Flow, ir.Node], None]

_BROADCAST = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Mean", "Sum", "PRelu", "Where"),
    *("And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "BitShift"),
)
_PASSING = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "CastLike", "Ceil", "Celu"),
    *("Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
    *("HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not"),
    *(
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
    ),
    *("Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"),
)
_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
_POOLING = (
    *("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"),
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_BROADCAST, elementwise.broadcast),
    **dict.fromkeys(_PASSING, elementwise.passing),
    **dict.fromkeys(_REDUCTIONS, reduction.reduction),
    **dict.fromkeys(_POOLING, reduction.pooling),
    "ArgMax": reduction.arg_reduction,
    "ArgMin": reduction.arg_reduction,
    "BatchNormalization": elementwise.per_channel,
    "Concat": movement.concat,
    "ConstantOfShape": movement.constant_of_shape,
    "Conv": weighted.convolution,
    "ConvTranspose": weighted.transposed_convolution,
    "CumSum": reduction.along,
    "DepthToSpace": movement.depth_to_space,
    "DequantizeLinear": elementwise.scaled,
    "Einsum": weighted.einsum,
    "Expand": movement.expand,
    "Flatten": reshaping.reshape,
    "GRU": recurrent.recurrent,
    "Gather": movement.gather,
    "Gemm": weighted.gemm,
    "GroupNormalization": elementwise.channel_norm,
    "Hardmax": reduction.along,
    "InstanceNormalization": elementwise.instance_norm,
    "LRN": elementwise.channel_norm,
    "LSTM": recurrent.recurrent,
    "LayerNormalization": elementwise.layer_norm,
    "LogSoftmax": reduction.along,
    "LpNormalization": reduction.along,
    "MatMul": weighted.matrix_product,
    "MeanVarianceNormalization": reduction.mean_variance,
    "Pad": movement.pad,
    "QuantizeLinear": elementwise.scaled,
    "RMSNormalization": elementwise.layer_norm,
    "RNN": recurrent.recurrent,
    "Reshape": reshaping.reshape,
    "Resize": movement.resize,
    "Shape": movement.shape,
    "Slice": movement.slice_,
    "Softmax": reduction.along,
    "SpaceToDepth": movement.space_to_depth,
    "Split": movement.split,
    "Squeeze": reshaping.reshape,
    "Tile": movement.tile,
    "TopK": reduction.top_k,
    "Transpose": movement.transpose,
    "Unsqueeze": reshaping.reshape,
}
