"""Operators that only move elements."""

from __future__ import annotations

import math

from random_graphs.drawing import MOST_CHANNELS, Drawing


def concat(g: Drawing) -> None:
    x = g.feature()
    others = [f for f in g.features if f.with_channels(x.channels) == x.shape]
    other = others[-1 - g.integer(0, len(others) - 1)]
    if x.channels + other.channels > MOST_CHANNELS:
        other = g.mixed(x, 2)
    axis = g.one_of(x.axis, x.axis - len(x.shape) - 1)
    made = g.node("Concat", x.name, other.name, axis=axis)
    g.add(made, *x.with_channels(x.channels + other.channels))


def concat_in_space(g: Drawing) -> None:
    x = g.feature_map()
    c, h, w = x.shape
    if h <= 8:
        g.add(g.node("Concat", x.name, g.twin(x), axis=2), c, 2 * h, w)


def class_token(g: Drawing) -> None:
    """A learned position before the others; its channels are the sequence's."""
    x = g.sequence()
    t, c = x.shape
    ones = g.constant([1, c])
    shape = g.node("Concat", g.batch_of(x.name), ones, axis=0)
    token = g.node("Expand", g.weight(1, 1, c), shape)
    made = g.node("Concat", token, x.name, axis=1)
    g.add(g.node("Add", made, g.weight(1, t + 1, c)), t + 1, c)


def embedding(g: Drawing) -> None:
    """Rows of a table, chosen by numbers that depend on the input."""
    source = g.features[0]
    sums = source.name
    for axis in range(len(source.shape) - 1, 0, -1):
        sums = g.reduce("ReduceSum", sums, (axis,), keepdims=0)
    chosen = g.node("Cast", g.node("Greater", sums, g.constant(0, "f4")), to=7)
    channels = g.integer(2, 6)
    g.add(g.node("Gather", g.weight(2, channels), chosen), source.shape[-1], channels)


def expand_like(g: Drawing) -> None:
    """A pooled map at all positions of another, whose shape is read off at run time."""
    x = g.feature_map()
    pooled = g.node("GlobalAveragePool", x.name)
    g.add(g.node("Expand", pooled, g.node("Shape", g.twin(x))), *x.shape)


def windows(g: Drawing) -> None:
    """As in Swin: windows of two positions become samples, and are put back."""
    x = g.sequence()
    t, c = x.shape
    if t % 2:
        x = g.add(g.node("Concat", x.name, x.name, axis=1), 2 * t, c)
        t = 2 * t
    parted = g.node("Reshape", x.name, g.constant([-1, 2, c]))
    made = g.node("Softmax", parted, axis=1)
    made = g.node("Mul", made, g.weight(c))
    back = g.constant([-1, t, c])
    if g.yes():
        back = g.node("Concat", g.batch_of(x.name), g.constant([t, -1]), axis=0)
    g.add(g.node("Reshape", made, back), t, c)


def split_equal(g: Drawing) -> None:
    x = g.feature()
    if x.channels % 2:
        x = g.mixed(x, 6)
    half = x.channels // 2
    inputs, attributes = [x.name], {"num_outputs": 2} if g.opset >= 18 else {}
    if g.yes():
        inputs, attributes = [x.name, g.constant([half, half])], {}
    for part in g.nodes_of("Split", inputs, 2, axis=x.axis, **attributes):
        g.add(part, *x.with_channels(half))


def split_unequal(g: Drawing) -> None:
    x = g.feature()
    if x.channels < 3:
        x = g.mixed(x, 5)
    first = g.integer(1, x.channels - 1)
    sizes = (first, x.channels - first)
    for part, size in zip(
        g.nodes_of("Split", [x.name, g.constant(sizes)], 2, axis=x.axis), sizes, strict=True
    ):
        g.add(part, *x.with_channels(size))


def slice_channels(g: Drawing) -> None:
    x = g.feature()
    c = x.channels
    start, end, step = g.one_of((0, c, 2), (0, -1, 1), (1, c, 1), (-2, 2**31, 1), (-1, -c - 1, -1))
    size = len(range(c)[slice(start, None if end == -c - 1 else end, step)])
    if not size:
        return
    inputs = (g.constant([n]) for n in (start, end, x.axis, step))
    g.add(g.node("Slice", x.name, *inputs), *x.with_channels(size))


def slice_space(g: Drawing) -> None:
    """The focus layer: every other position."""
    x = g.feature_map()
    c, h, w = x.shape
    first = g.one_of(0, min(1, h - 1))
    inputs = (g.constant(n) for n in ([first], [2**40], [2], [2]))
    g.add(g.node("Slice", x.name, *inputs), c, len(range(first, h, 2)), w)


def gather_channels(g: Drawing) -> None:
    """By a list of constant indices: any order, some twice, some negative."""
    x = g.feature()
    indices = [g.integer(-1, x.channels - 1) for _ in range(g.integer(1, 6))]
    made = g.node("Gather", x.name, g.constant(indices), axis=x.axis)
    g.add(made, *x.with_channels(len(indices)))


def gather_one_channel(g: Drawing) -> None:
    """By a scalar: the channel axis is gone."""
    x = g.feature_map()
    made = g.node("Gather", x.name, g.constant(g.integer(0, x.channels - 1)), axis=1)
    g.add(made, *x.shape[1:])


def gather_one_position(g: Drawing) -> None:
    """By a scalar: the class token."""
    x = g.sequence()
    g.add(g.node("Gather", x.name, g.constant(g.one_of(0, -1)), axis=1), x.channels)


def heads_and_back(g: Drawing) -> None:
    """C to (heads, width), something per head or per width, and merged again."""
    x = g.mixed(g.sequence(), 6)
    t, heads = x.shape[0], g.one_of(2, 3)
    made = g.reshape(x.name, t, heads, 6 // heads)
    shape = g.one_of((heads, 1), (6 // heads,), (heads, 6 // heads))
    made = g.node("Mul", made, g.weight(*shape))
    made = g.node("Tanh", made)
    if g.yes():
        g.add(g.node("Reshape", made, g.constant([0, 0, -1])), t, 6)
    else:
        g.add(g.reshape(made, t, 6), t, 6)


def scrambled(g: Drawing) -> None:
    """Lengths are factored and merged anew, around a transpose, whatever the axes meant."""
    x = g.feature()
    between = _factored(g, math.prod(x.shape), 3)
    after = _factored(g, math.prod(x.shape), g.integer(1, 3))
    if max(after) > 2 * MOST_CHANNELS:
        return
    perm = g.one_of((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    parted = g.node("Reshape", x.name, g.constant([-1, *between]))
    turned = g.node("Transpose", parted, perm=[0, *(axis + 1 for axis in perm)])
    g.add(g.node("Reshape", turned, g.constant([-1, *after])), *after)


def transpose_and_back(g: Drawing) -> None:
    x = g.feature_map()
    turned = g.node("Transpose", x.name, perm=[0, 2, 3, 1])
    made = g.node("Add", turned, g.weight(x.channels))
    g.add(g.node("Transpose", made, perm=[0, 3, 1, 2]), *x.shape)


def squeeze_and_back(g: Drawing) -> None:
    x = g.feature()
    axis = g.integer(1, len(x.shape) + 1)
    wide = g.node("Unsqueeze", x.name, g.constant([axis]))
    g.add(g.node("Squeeze", g.node("Relu", wide), g.constant([axis])), *x.shape)


def to_sequence(g: Drawing) -> None:
    """Patches: [N, C, H, W] to [N, H W, C]."""
    c, h, w = (x := g.feature_map()).shape
    if g.yes():
        flat = g.node("Reshape", x.name, g.constant([0, 0, -1]))
    else:
        flat = g.reshape(x.name, c, h * w)
    g.add(g.node("Transpose", flat, perm=[0, 2, 1]), h * w, c)


def to_map(g: Drawing) -> None:
    """[N, T, C] to [N, C, T, 1]."""
    t, c = (x := g.sequence()).shape
    turned = g.node("Transpose", x.name, perm=[0, 2, 1])
    g.add(g.node("Unsqueeze", turned, g.constant([3])), c, t, 1)


def rows_to_sequence(g: Drawing) -> None:
    """The neck of a text recognizer: columns become steps, C and H merge into channels."""
    c, h, w = (x := g.feature_map()).shape
    if c * h > 2 * MOST_CHANNELS:
        return
    turned = g.node("Transpose", x.name, perm=[0, 3, 1, 2])
    g.add(g.reshape(turned, w, c * h), w, c * h)


def repeat_channels(g: Drawing) -> None:
    x = g.feature()
    if x.channels > MOST_CHANNELS // 2:
        x = g.mixed(x, 4)
    repeats = [1] * (len(x.shape) + 1)
    repeats[x.axis] = 2
    g.add(g.node("Tile", x.name, g.constant(repeats)), *x.with_channels(2 * x.channels))


def repeat_each_channel(g: Drawing) -> None:
    """Each channel twice in a row, as key and value heads are repeated: an Expand and a Reshape."""
    x = g.feature_map()
    c, h, w = x.shape
    if c > MOST_CHANNELS // 2:
        return
    wide = g.node("Unsqueeze", x.name, g.constant([2]))
    expanded = g.node("Expand", wide, g.constant([1, 1, 2, 1, 1]))
    g.add(g.reshape(expanded, 2 * c, h, w), 2 * c, h, w)


def expand_space(g: Drawing) -> None:
    x = g.feature_map()
    c = x.channels
    pooled = g.node("GlobalAveragePool", x.name)
    g.add(g.node("Expand", pooled, g.constant([1, 1, 3, 2])), c, 3, 2)


def _factored(g: Drawing, size: int, count: int) -> list[int]:
    """Return `count` lengths whose product is `size`."""
    lengths = []
    for _ in range(count - 1):
        lengths.append(g.one_of(*(n for n in range(1, size + 1) if size % n == 0)))
        size //= lengths[-1]
    return [*lengths, size]
