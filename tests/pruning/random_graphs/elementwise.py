"""Operators that keep every channel where it is, or weigh channels against each other."""

from __future__ import annotations

from random_graphs.drawing import Drawing, Feature

_ACTIVATIONS = (
    ("Relu", {}),
    ("Sigmoid", {}),
    ("LeakyRelu", {"alpha": 0.2}),
    ("Tanh", {}),
    ("HardSwish", {}),
    ("Softplus", {}),
    ("Elu", {}),
    ("Abs", {}),
    ("Cos", {}),
)


def activation(g: Drawing) -> None:
    x = g.feature()
    op_type, attributes = g.one_of(*_ACTIVATIONS)
    g.add(g.node(op_type, x.name, **attributes), *x.shape)


def bias(g: Drawing) -> None:
    x = g.feature()
    shift = g.weight(*_per_channel(g, x))
    both = (x.name, shift) if g.yes() else (shift, x.name)
    g.add(g.node(g.one_of("Add", "Sub"), *both), *x.shape)


def scale(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("Mul", x.name, g.weight(*_per_channel(g, x))), *x.shape)


def divide(g: Drawing) -> None:
    """By what is at least 1: a constant, or one plus the magnitude of another value."""
    x = g.feature()
    if g.yes():
        by = g.constant(2.5, "f4")
    else:
        by = g.node("Add", g.node("Abs", g.twin(x)), g.constant(1, "f4"))
    g.add(g.node("Div", x.name, by), *x.shape)


def residual(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("Add", x.name, g.twin(x)), *x.shape)


def subtract(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("Sub", g.twin(x), x.name), *x.shape)


def total(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node(g.one_of("Sum", "Max", "Mean"), x.name, g.twin(x), g.twin(x)), *x.shape)


def gate(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("Mul", x.name, g.node("Sigmoid", g.twin(x))), *x.shape)


def broadcast_vector(g: Drawing) -> None:
    """A vector made from the map is added at all of its positions, as time embeddings are."""
    x = g.feature_map()
    made = g.mixed(g.vector(), x.channels)
    wide = g.node("Unsqueeze", made.name, g.constant([2, 3]))
    g.add(g.node(g.one_of("Add", "Mul"), x.name, wide), *x.shape)


def where(g: Drawing) -> None:
    x = g.feature()
    if g.yes():
        low = g.node("Mul", x.name, g.constant(0.1, "f4"))
        condition = g.node("Greater", x.name, g.constant(0, "f4"))
        g.add(g.node("Where", condition, x.name, low), *x.shape)
        return
    mask = g.constant([n % 2 for n in range(x.shape[-1])], "?")
    other = g.one_of(g.constant(-1, "f4"), g.twin(x))
    g.add(g.node("Where", mask, x.name, other), *x.shape)


def clip(g: Drawing) -> None:
    x = g.feature()
    low, high = g.constant(-1, "f4"), g.constant(2, "f4")
    g.add(g.node("Clip", x.name, low, high), *x.shape)


def cast(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("Cast", g.node("Cast", x.name, to=11), to=1), *x.shape)


def softmax_over_space(g: Drawing) -> None:
    x = g.feature_map()
    g.add(g.node("Softmax", x.name, axis=g.one_of(-1, 2)), *x.shape)


def softmax_over_channels(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node(g.one_of("Softmax", "LogSoftmax"), x.name, axis=x.axis), *x.shape)


def reduce_space(g: Drawing) -> None:
    x = g.feature_map()
    op_type = g.one_of("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")
    if g.yes():
        g.add(g.reduce(op_type, x.name, (2, 3), keepdims=0), x.channels)
    else:
        g.add(g.reduce(op_type, x.name, (-1,)), *x.shape[:2], 1)


def reduce_time(g: Drawing) -> None:
    x = g.sequence()
    op_type = g.one_of("ReduceMean", "ReduceMax")
    g.add(g.reduce(op_type, x.name, (1,), keepdims=0), x.channels)


def reduce_channels(g: Drawing) -> None:
    x = g.feature_map()
    op_type = g.one_of("ReduceMean", "ReduceSum", "ReduceMax")
    g.add(g.reduce(op_type, x.name, (1,)), *x.with_channels(1))


def channel_attention(g: Drawing) -> None:
    """CBAM's spatial gate: mean and maximum over channels, side by side, through a Conv."""
    x = g.feature_map()
    parts = [g.reduce(op_type, x.name, (1,)) for op_type in ("ReduceMean", "ReduceMax")]
    both = Feature(g.node("Concat", *parts, axis=1), (2, *x.shape[1:]))
    made = g.node("Sigmoid", g.mixed(both, 1).name)
    g.add(g.node("Mul", x.name, made), *x.shape)


def _per_channel(g: Drawing, x: Feature) -> tuple[int, ...]:
    """Return a constant's shape that broadcasts to `x`: per channel, with batch axis, or one."""
    after = (1,) * (len(x.shape) - x.axis)
    own = (x.channels, *after)
    leading = (1,) * (len(x.shape) - len(own) + 1)
    return g.one_of(own, (*leading, *own), (1,), x.shape)
