"""Arithmetic, one element at a time."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from edgekit.interpreter.node import Node, Operator
from edgekit.interpreter.values import number

_PRELU_BROADCASTS = 7
_SLOPE_ROUNDED = 1e-7


def unary(function: Operator) -> Operator:
    """Return an operator of one input that has no attributes."""
    return lambda _, x: function(x)


def binary(function: Operator) -> Operator:
    """Return an operator of two inputs that has no attributes."""
    return lambda _, a, b: function(a, b)


def many(function: Operator) -> Operator:
    """Return an operator that goes over its inputs two by two."""
    return lambda _, *inputs: reduce(function, inputs)


def div(_: Node, a: Tensor, b: Tensor) -> Tensor:
    """Integers are divided toward zero, as in C."""
    if a.is_floating_point() or b.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def mod(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """`fmod` takes the sign of the dividend."""
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


def power(_: Node, a: Tensor, b: Tensor) -> Tensor:
    """The result has the type of the base."""
    return torch.pow(a, b).to(a.dtype)


def mean(_: Node, *inputs: Tensor) -> Tensor:
    """Mean of several inputs."""
    return reduce(torch.add, inputs) / len(inputs)


def clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Bounds are attributes before opset 11, inputs since; the upper one wins."""
    least = node.get("min") if low is None else low
    most = node.get("max") if high is None else high
    if least is not None:
        x = torch.maximum(x, torch.as_tensor(least, dtype=x.dtype))
    if most is not None:
        x = torch.minimum(x, torch.as_tensor(most, dtype=x.dtype))
    return x


def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """Scale what is below zero."""
    return torch.where(x < 0, x * node.get("alpha", 0.01), x)


def prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """Scale what is below zero; before opset 7 by a slope a channel, later by a broadcast."""
    if node.opset < _PRELU_BROADCASTS and slope.numel() > 1:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return torch.where(x < 0, x * slope, x)


def elu(node: Node, x: Tensor) -> Tensor:
    """Source: Clevert et al. 2016."""
    return torch.where(x < 0, node.get("alpha", 1.0) * torch.expm1(x.clamp(max=0)), x)


def selu(node: Node, x: Tensor) -> Tensor:
    """Source: Klambauer et al. 2017."""
    alpha = node.get("alpha", 1.67326319217681884765625)
    gamma: float = node.get("gamma", 1.05070102214813232421875)
    return gamma * torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0)), x)


def celu(node: Node, x: Tensor) -> Tensor:
    """Source: Barron 2017."""
    return torch.nn.functional.celu(x, node.get("alpha", 1.0))


def gelu(node: Node, x: Tensor) -> Tensor:
    """Exact, or by tanh."""
    return torch.nn.functional.gelu(x, approximate=node.get("approximate", "none"))


def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """A line between 0 and 1; that of slope 1/6 is one call to torch."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if abs(alpha - 1 / 6) < _SLOPE_ROUNDED and beta == 0.5:  # noqa: PLR2004  # its middle
        return torch.nn.functional.hardsigmoid(x)
    return (x * alpha + beta).clamp(0, 1)


def hard_swish(_: Node, x: Tensor) -> Tensor:
    """The input times the line of slope 1/6 between 0 and 1."""
    return torch.nn.functional.hardswish(x)


def swish(node: Node, x: Tensor) -> Tensor:
    """The input times its sigmoid."""
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


def mish(_: Node, x: Tensor) -> Tensor:
    """The input times tanh(softplus)."""
    return x * torch.tanh(torch.nn.functional.softplus(x))


def softplus(_: Node, x: Tensor) -> Tensor:
    """log(1 + exp(x)), as it is large x, too."""
    return torch.logaddexp(x, torch.zeros_like(x))


def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """Zero up to alpha."""
    return torch.where(x > node.get("alpha", 1.0), x, torch.zeros_like(x))


def shrink(node: Node, x: Tensor) -> Tensor:
    """Toward zero by `bias`, and zero within `lambd`."""
    bias, edge = node.get("bias", 0.0), node.get("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, zero))


def is_inf(node: Node, x: Tensor) -> Tensor:
    """Either sign may be left out."""
    positive = torch.isposinf(x) & bool(node.get("detect_positive", 1))
    return positive | (torch.isneginf(x) & bool(node.get("detect_negative", 1)))


def shift(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Bits, left or right."""
    return a << b if node.get("direction") == "LEFT" else a >> b


def dropout(
    node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """At inference everything passes."""
    if training is not None and number(training) and (ratio is None or number(ratio) > 0):
        raise node.refusal("training mode")
    return x, torch.ones_like(x, dtype=torch.bool)


OPERATORS: dict[str, Operator] = {
    "Abs": unary(torch.abs),
    "Acos": unary(torch.acos),
    "Acosh": unary(torch.acosh),
    "Add": binary(torch.add),
    "And": binary(torch.logical_and),
    "Asin": unary(torch.asin),
    "Asinh": unary(torch.asinh),
    "Atan": unary(torch.atan),
    "Atanh": unary(torch.atanh),
    "BitShift": shift,
    "BitwiseAnd": binary(torch.bitwise_and),
    "BitwiseNot": unary(torch.bitwise_not),
    "BitwiseOr": binary(torch.bitwise_or),
    "BitwiseXor": binary(torch.bitwise_xor),
    "Ceil": unary(torch.ceil),
    "Celu": celu,
    "Clip": clip,
    "Cos": unary(torch.cos),
    "Cosh": unary(torch.cosh),
    "Div": div,
    "Dropout": dropout,
    "Elu": elu,
    "Equal": binary(torch.eq),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Gelu": gelu,
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Identity": unary(lambda x: x.view_as(x)),
    "IsInf": is_inf,
    "IsNaN": unary(torch.isnan),
    "LeakyRelu": leaky_relu,
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Log": unary(torch.log),
    "Max": many(torch.maximum),
    "Mean": mean,
    "Min": many(torch.minimum),
    "Mish": mish,
    "Mod": mod,
    "Mul": binary(torch.mul),
    "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": unary(torch.reciprocal),
    "Relu": unary(torch.relu),
    "Round": unary(torch.round),
    "Selu": selu,
    "Shrink": shrink,
    "Sigmoid": unary(torch.sigmoid),
    "Sign": unary(torch.sign),
    "Sin": unary(torch.sin),
    "Sinh": unary(torch.sinh),
    "Softplus": softplus,
    "Softsign": unary(torch.nn.functional.softsign),
    "Sqrt": unary(torch.sqrt),
    "Sub": binary(torch.sub),
    "Sum": many(torch.add),
    "Swish": swish,
    "Tan": unary(torch.tan),
    "Tanh": unary(torch.tanh),
    "ThresholdedRelu": thresholded_relu,
    "Where": lambda _, condition, a, b: torch.where(condition, a, b),
    "Xor": binary(torch.logical_xor),
}
