"""Attention and recurrent networks."""

from __future__ import annotations

from random_graphs.drawing import Drawing, Feature


def attention(g: Drawing) -> None:
    """Queries, keys and values each by a product of their own; perhaps of two sequences."""
    x = g.sequence()
    heads, width = g.integer(1, 3), g.integer(1, 4)
    other = x if g.yes() else g.mixed(g.sequence(), x.channels)
    size = heads * width
    query, key, value = (_biased(g, s, size) for s in (x, other, other))
    parts = [_heads(g, part, heads) for part in (query, key, value)]
    _attend(g, x, *parts, inner=size)


def attention_fused_by_split(g: Drawing) -> None:
    x = g.sequence()
    heads, width = g.integer(1, 3), g.integer(1, 4)
    size = heads * width
    fused = _biased(g, x, 3 * size)
    parts = g.nodes_of("Split", [fused.name, g.constant([size] * 3)], 3, axis=-1)
    parted = [_heads(g, Feature(part, (x.shape[0], size)), heads) for part in parts]
    _attend(g, x, *parted, inner=size)


def attention_fused_by_reshape(g: Drawing) -> None:
    """As in timm: [N, T, 3, heads, width] transposed, then gathered or split."""
    x = g.sequence()
    heads, width = g.integer(1, 3), g.integer(1, 4)
    fused = _biased(g, x, 3 * heads * width)
    parted = g.reshape(fused.name, x.shape[0], 3, heads, width)
    turned = g.node("Transpose", parted, perm=[2, 0, 3, 1, 4])
    if g.yes():
        parts = [g.node("Gather", turned, g.constant(n), axis=0) for n in range(3)]
    else:
        split = g.nodes_of("Split", [turned, g.constant([1, 1, 1])], 3, axis=0)
        parts = [g.node("Squeeze", part, g.constant([0])) for part in split]
    _attend(g, x, *parts, inner=heads * width)


def rotary_positions(g: Drawing) -> None:
    """Each half of a head's width is turned with the other."""
    x = g.mixed(g.sequence(), 8)
    t, heads = x.shape[0], g.one_of(2, 1)
    width = 8 // heads
    parted = _heads(g, x, heads)
    halves = g.nodes_of("Split", [parted, g.constant([width // 2] * 2)], 2, axis=-1)
    turned = g.node("Concat", g.node("Neg", halves[1]), halves[0], axis=-1)
    parts = [g.node("Mul", part, g.weight(t, width)) for part in (parted, turned)]
    made = g.node("Transpose", g.node("Add", *parts), perm=[0, 2, 1, 3])
    g.add(g.reshape(made, t, 8), t, 8)


def lstm(g: Drawing) -> None:
    _recurrent(g, "LSTM", gates=4, biases=8, states=2)


def gru(g: Drawing) -> None:
    _recurrent(g, "GRU", gates=3, biases=6, states=1, linear_before_reset=g.one_of(1, 0))


def rnn(g: Drawing) -> None:
    _recurrent(g, "RNN", gates=1, biases=2, states=1)


def _biased(g: Drawing, x: Feature, channels: int) -> Feature:
    made = g.mixed(x, channels)
    return Feature(g.node("Add", g.weight(channels), made.name), made.shape)


def _heads(g: Drawing, x: Feature, heads: int) -> str:
    """[N, T, heads width] to [N, heads, T, width]."""
    parted = g.reshape(x.name, x.shape[0], heads, x.channels // heads)
    return g.node("Transpose", parted, perm=[0, 2, 1, 3])


def _attend(g: Drawing, x: Feature, query: str, key: str, value: str, *, inner: int) -> None:
    turned = g.node("Transpose", key, perm=[0, 1, 3, 2])
    likeness = g.node("MatMul", query, turned)
    scaled = g.node("Mul", likeness, g.constant(0.5, "f4"))
    if g.seldom():
        scaled = g.node("Add", scaled, g.weight(x.shape[0], x.shape[0]))
    share = g.node("Softmax", scaled, axis=-1)
    mixed = g.node("Transpose", g.node("MatMul", share, value), perm=[0, 2, 1, 3])
    merged = Feature(g.reshape(mixed, x.shape[0], inner), (x.shape[0], inner))
    made = g.mixed(merged, x.channels).name
    g.add(g.node("Add", x.name, made) if g.yes() else made, *x.shape)


def _recurrent(
    g: Drawing, op_type: str, *, gates: int, biases: int, states: int, **attributes: int
) -> None:
    """One layer over a sequence turned to [T, N, C]; all of Y is used, or the last state."""
    x = g.sequence()
    t, c = x.shape
    hidden = g.integer(2, 5)
    direction = g.one_of("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    turned = g.node("Transpose", x.name, perm=[1, 0, 2])
    inputs = [turned, g.weight(ways, gates * hidden, c, fan_in=c)]
    inputs.append(g.weight(ways, gates * hidden, hidden, fan_in=hidden))
    if g.yes():
        inputs.append(g.weight(ways, biases * hidden, fan_in=2))
        if g.yes():
            inputs.append("")
            inputs.extend(_initial_state(g, x, ways, hidden) for _ in range(states))
    every, last = g.nodes_of(
        op_type, inputs, 2, hidden_size=hidden, direction=direction, **attributes
    )
    which = g.one_of("all", "last", "both")
    if which != "last":
        if ways == 1 and g.yes():
            flat = g.node("Transpose", g.node("Squeeze", every, g.constant([1])), perm=[1, 0, 2])
        else:
            flat = g.reshape(g.node("Transpose", every, perm=[2, 0, 1, 3]), t, ways * hidden)
        g.add(flat, t, ways * hidden)
    if which != "all":
        flat = g.reshape(g.node("Transpose", last, perm=[1, 0, 2]), ways * hidden)
        g.add(flat, ways * hidden)


def _initial_state(g: Drawing, x: Feature, ways: int, hidden: int) -> str:
    """A learned state for all samples, or zeros."""
    parts = (g.constant([ways]), g.batch_of(x.name), g.constant([hidden]))
    shape = g.node("Concat", *parts, axis=0)
    if g.seldom():
        return g.node("ConstantOfShape", shape)
    return g.node("Expand", g.weight(ways, 1, hidden), shape)
