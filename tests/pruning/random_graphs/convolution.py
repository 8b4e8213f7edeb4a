"""Operators on feature maps."""

from __future__ import annotations

import numpy as np

from random_graphs.drawing import MOST_CHANNELS, Drawing, Feature


def conv(g: Drawing) -> None:
    x = g.feature_map()
    _conv(g, x, channels=g.integer(2, 8), group=1)


def grouped_conv(g: Drawing) -> None:
    x, group = _divisible(g, g.feature_map())
    _conv(g, x, channels=group * g.integer(1, 3), group=group)


def depthwise_conv(g: Drawing) -> None:
    x = g.feature_map()
    times = g.one_of(1, 2) if x.channels < MOST_CHANNELS else 1
    _conv(g, x, channels=x.channels * times, group=x.channels)


def conv_in_time(g: Drawing) -> None:
    x = g.sequence()
    t, c = x.shape
    channels = g.integer(2, 6)
    turned = g.node("Transpose", x.name, perm=[0, 2, 1])
    weight = g.weight(channels, c, 3, fan_in=3 * c)
    made = g.node("Conv", turned, weight, pads=[1, 1])
    g.add(g.node("Transpose", made, perm=[0, 2, 1]), t, channels)


def conv_transpose(g: Drawing) -> None:
    x = g.feature_map()
    _conv_transpose(g, x, channels=g.integer(2, 6), group=1)


def grouped_conv_transpose(g: Drawing) -> None:
    x, group = _divisible(g, g.feature_map())
    _conv_transpose(g, x, channels=group * g.integer(1, 3), group=group)


def shared_conv(g: Drawing) -> None:
    """One weight in two convolutions, as in a pyramid's heads."""
    x = g.feature_map()
    channels = g.integer(2, 6)
    weight = g.weight(channels, x.channels, 1, 1, fan_in=x.channels)
    for data in (x.name, g.twin(x)):
        g.add(g.node("Conv", data, weight), channels, *x.shape[1:])


def conv_then_itself(g: Drawing) -> None:
    """One square weight twice in a row, as in a recurrent network rolled out."""
    x = g.feature_map()
    weight = g.weight(x.channels, x.channels, 1, 1, fan_in=x.channels)
    once = g.node("Relu", g.node("Conv", x.name, weight))
    g.add(g.node("Conv", once, weight), *x.shape)


def batch_normalization(g: Drawing) -> None:
    x = g.feature()
    if len(x.shape) == 2:
        x = g.feature_map()
    scale, shift, mean = (g.weight(x.channels) for _ in range(3))
    variance = g.constant(np.linspace(0.5, 2.0, x.channels), "f4")
    g.add(g.node("BatchNormalization", x.name, scale, shift, mean, variance), *x.shape)


def prelu(g: Drawing) -> None:
    x = g.feature_map()
    shape = g.one_of((x.channels, 1, 1), (1,), (1, 1, 1))
    g.add(g.node("PRelu", x.name, g.weight(*shape)), *x.shape)


def instance_normalization(g: Drawing) -> None:
    x = _wide(g)
    c = x.channels
    made = g.node("InstanceNormalization", x.name, g.weight(c), g.weight(c), epsilon=1e-2)
    g.add(made, *x.shape)


def group_normalization(g: Drawing) -> None:
    """As exporters write it: an InstanceNormalization between reshapes, then scale and shift."""
    x, group = _divisible(g, _wide(g))
    c = x.channels
    if g.yes():
        parted = g.node("Reshape", x.name, g.constant([0, group, -1]))
    else:
        parted = g.reshape(x.name, group, c // group * x.shape[1] * x.shape[2])
    ones, zeros = g.constant(np.ones(group), "f4"), g.constant(np.zeros(group), "f4")
    normal = g.node("InstanceNormalization", parted, ones, zeros, epsilon=1e-2)
    back = g.reshape(normal, *x.shape)
    scaled = g.node("Mul", back, g.weight(c, 1, 1))
    g.add(g.node("Add", scaled, g.weight(1, c, 1, 1)), *x.shape)


def pool(g: Drawing) -> None:
    x = _wide(g)
    c, h, w = x.shape
    op_type = g.one_of("MaxPool", "AveragePool")
    if g.yes():
        made = g.node(op_type, x.name, kernel_shape=[2, 2], strides=[2, 2])
        g.add(made, c, h // 2, w // 2)
    else:
        made = g.node(op_type, x.name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        g.add(made, *x.shape)


def global_pool(g: Drawing) -> None:
    x = g.feature_map()
    made = g.node(g.one_of("GlobalAveragePool", "GlobalMaxPool"), x.name)
    if g.yes():
        g.add(made, x.channels, 1, 1)
        return
    how = g.one_of("Flatten", "Reshape", "Squeeze")
    if how == "Flatten":
        g.add(g.node("Flatten", made, axis=1), x.channels)
    elif how == "Reshape":
        g.add(g.reshape(made, x.channels), x.channels)
    else:
        g.add(g.node("Squeeze", made, g.constant([2, 3])), x.channels)


def squeeze_and_excite(g: Drawing) -> None:
    x = g.feature_map()
    if g.yes():
        squeezed = g.node("GlobalAveragePool", x.name)
    else:
        squeezed = g.reduce("ReduceMean", x.name, (2, 3))
    inner = g.mixed(Feature(squeezed, (x.channels, 1, 1)), g.integer(1, 4))
    excited = g.mixed(Feature(g.node("Relu", inner.name), inner.shape), x.channels)
    gate = g.node(g.one_of("Sigmoid", "HardSigmoid"), excited.name)
    g.add(g.node("Mul", x.name, gate), *x.shape)


def spatial_gate(g: Drawing) -> None:
    x = g.feature_map()
    gate = g.node("Sigmoid", g.mixed(x, 1).name)
    g.add(g.node("Mul", gate, x.name), *x.shape)


def resize(g: Drawing) -> None:
    x = g.feature_map()
    c, h, w = x.shape
    if h * w > 64:
        return
    mode = g.one_of("nearest", "linear")
    if g.yes():
        made = g.node("Resize", x.name, "", g.constant([1, 1, 2, 2], "f4"), mode=mode)
    else:
        sizes = g.node("Concat", g.batch_of(x.name), g.constant([c, 2 * h, 2 * w]), axis=0)
        made = g.node("Resize", x.name, "", "", sizes, mode=mode)
    g.add(made, c, 2 * h, 2 * w)


def resize_like(g: Drawing) -> None:
    """As in a feature pyramid: to the height and width of another map, read off at run time."""
    x, other = g.feature_map(), g.feature_map()
    sizes = []
    for f, start, end in ((x, 0, 2), (other, 2, 4)):
        bounds = (g.constant([start]), g.constant([end]))
        sizes.append(g.node("Slice", g.node("Shape", f.name), *bounds))
    made = g.node("Resize", x.name, "", "", g.node("Concat", *sizes, axis=0))
    g.add(made, x.channels, *other.shape[1:])


def pad_space(g: Drawing) -> None:
    x = _wide(g)
    c, h, w = x.shape
    mode = g.one_of("constant", "reflect", "edge")
    made = g.node("Pad", x.name, g.constant([0, 0, 1, 0, 0, 0, 0, 1]), mode=mode)
    g.add(made, c, h + 1, w + 1)


def pad_channels(g: Drawing) -> None:
    """The shortcut of a ResNet for small images: channels of zeros (or of another constant)."""
    x = g.feature_map()
    before, after = g.integer(0, 2), g.integer(0, 2)
    fill = g.one_of(0.0, 0.5)
    amounts = g.constant([0, before, 0, 0, 0, after, 0, 0])
    made = g.node("Pad", x.name, amounts, g.constant(fill, "f4"))
    g.add(made, x.channels + before + after, *x.shape[1:])


def depth_to_space(g: Drawing) -> None:
    x = g.mixed(g.feature_map(), 4 * g.integer(1, 3))
    c, h, w = x.shape
    made = g.node("DepthToSpace", x.name, blocksize=2, mode=g.one_of("DCR", "CRD"))
    g.add(made, c // 4, 2 * h, 2 * w)


def space_to_depth(g: Drawing) -> None:
    x = g.feature_map()
    c, h, w = x.shape
    if h % 2 or w % 2 or c > MOST_CHANNELS // 4:
        x = g.mixed(g.add(g.node("GlobalAveragePool", x.name), c, 1, 1), min(c, 4))
        x = Feature(g.node("Resize", x.name, "", g.constant([1, 1, 2, 2], "f4")), (min(c, 4), 2, 2))
        c, h, w = x.shape
    g.add(g.node("SpaceToDepth", x.name, blocksize=2), 4 * c, h // 2, w // 2)


def channel_shuffle(g: Drawing) -> None:
    x, group = _divisible(g, g.feature_map())
    c, h, w = x.shape
    parted = g.reshape(x.name, group, c // group, h, w)
    turned = g.node("Transpose", parted, perm=[0, 2, 1, 3, 4])
    g.add(g.reshape(turned, c, h, w), c, h, w)


def channel_shuffle_by_own_shape(g: Drawing) -> None:
    """All lengths are read off the value itself, and arithmetic is done on them."""
    x, group = _divisible(g, g.feature_map())
    shape = g.node("Shape", x.name)
    n, c, h, w = (g.node("Gather", shape, g.constant([axis])) for axis in range(4))
    width = g.node("Div", c, g.constant([group]))
    parted = g.node("Concat", n, g.constant([group]), width, h, w, axis=0)
    turned = g.node("Transpose", g.node("Reshape", x.name, parted), perm=[0, 2, 1, 3, 4])
    whole = g.node("Concat", n, g.one_of(c, g.constant([-1])), h, w, axis=0)
    g.add(g.node("Reshape", turned, whole), *x.shape)


def _conv(g: Drawing, x: Feature, *, channels: int, group: int) -> None:
    _, h, w = x.shape
    kernel = (g.one_of(1, 3), g.one_of(1, 3))
    stride, dilation = g.one_of(1, 2), g.one_of(1, 2)
    reach = [dilation * (size - 1) for size in kernel]
    pads = [part // 2 for part in reach] * 2
    if g.seldom():
        pads = [0, 0, reach[0], reach[1]]
    fan_in = x.channels // group
    inputs = [x.name, g.weight(channels, fan_in, *kernel, fan_in=fan_in * kernel[0] * kernel[1])]
    if g.yes():
        inputs.append(g.weight(channels))
    made = g.node(
        "Conv",
        *inputs,
        kernel_shape=kernel,
        strides=[stride, stride],
        dilations=[dilation, dilation],
        pads=pads,
        group=group,
    )
    g.add(made, channels, (h - 1) // stride + 1, (w - 1) // stride + 1)


def _conv_transpose(g: Drawing, x: Feature, *, channels: int, group: int) -> None:
    c, h, w = x.shape
    if h * w > 64:
        x = g.add(g.node("MaxPool", x.name, kernel_shape=[2, 2], strides=[2, 2]), c, h // 2, w // 2)
        _, h, w = x.shape
    inputs = [x.name, g.weight(c, channels // group, 2, 2, fan_in=c // group)]
    if g.yes():
        inputs.append(g.weight(channels))
    made = g.node("ConvTranspose", *inputs, strides=[2, 2], group=group)
    g.add(made, channels, 2 * h, 2 * w)


def _divisible(g: Drawing, x: Feature) -> tuple[Feature, int]:
    """Return a map whose channels fall into groups, and how many groups."""
    groups = [n for n in (2, 3, 4) if x.channels % n == 0]
    if groups:
        return x, g.one_of(*groups)
    return g.mixed(x, 6), g.one_of(2, 3)


def _wide(g: Drawing) -> Feature:
    """Pick a map of at least 2x2 positions."""
    x = g.feature_map()
    if min(x.shape[1:]) > 1:
        return x
    c, h, w = x.shape
    made = g.node("Resize", x.name, "", g.constant([1, 1, 2, 2], "f4"))
    return g.add(made, c, 2 * h, 2 * w)
