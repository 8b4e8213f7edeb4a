"""Matrix products on vectors and sequences, and what stands between them."""

from __future__ import annotations

from random_graphs.drawing import Drawing, Feature


def gemm(g: Drawing) -> None:
    x = g.vector()
    channels = g.integer(2, 8)
    turned = g.one_of(1, 0)
    shape = (channels, x.channels) if turned else (x.channels, channels)
    inputs = [x.name, g.weight(*shape, fan_in=x.channels)]
    if g.yes():
        inputs.append(g.weight(*g.one_of((channels,), (1, channels), (1,))))
    alpha, beta = g.one_of(1.0, 0.5), g.one_of(1.0, 2.0)
    g.add(g.node("Gemm", *inputs, transB=turned, alpha=alpha, beta=beta), channels)


def flatten_gemm(g: Drawing) -> None:
    x = g.feature_map()
    size, channels = x.shape[0] * x.shape[1] * x.shape[2], g.integer(2, 8)
    how = g.one_of("Flatten", "rest", "Reshape")
    if how == "Flatten":
        flat = g.node("Flatten", x.name, axis=1)
    elif how == "rest":
        flat = g.node("Reshape", x.name, g.constant([0, -1]))
    else:
        flat = g.reshape(x.name, size)
    weight = g.weight(channels, size, fan_in=size)
    g.add(g.node("Gemm", flat, weight, g.weight(channels), transB=1), channels)


def matmul(g: Drawing) -> None:
    x = g.feature()
    if len(x.shape) == 3:
        x = g.sequence()
    channels = g.integer(2, 8)
    made = g.node("MatMul", x.name, g.weight(x.channels, channels, fan_in=x.channels))
    if g.yes():
        made = g.node("Add", made, g.weight(channels))
    g.add(made, *x.with_channels(channels))


def matmul_vector(g: Drawing) -> None:
    """A weight of one axis: channels are summed up and their axis is gone."""
    x = g.sequence()
    g.add(g.node("MatMul", x.name, g.weight(x.channels, fan_in=x.channels)), x.shape[0])


def gemm_on_rows(g: Drawing) -> None:
    """Batch and positions are merged to rows for a Gemm, and parted again."""
    x = g.sequence()
    t, c = x.shape
    channels = g.integer(2, 8)
    rows = g.node("Reshape", x.name, g.constant([-1, c]))
    weight = g.weight(channels, c, fan_in=c)
    made = g.node("Gemm", rows, weight, g.weight(channels), transB=1)
    back = g.constant([-1, t, channels])
    if g.yes():
        back = g.node("Concat", g.batch_of(x.name), g.constant([t, channels]), axis=0)
    g.add(g.node("Reshape", made, back), t, channels)


def matmul_channels_last(g: Drawing) -> None:
    """A linear layer on a map, between transposes, as in ConvNeXt and Swin."""
    x = g.feature_map()
    _, h, w = x.shape
    channels = g.integer(2, 8)
    last = g.node("Transpose", x.name, perm=[0, 2, 3, 1])
    made = g.node("MatMul", last, g.weight(x.channels, channels, fan_in=x.channels))
    made = g.node("Add", g.weight(channels), made)
    g.add(g.node("Transpose", made, perm=[0, 3, 1, 2]), channels, h, w)


def matmul_weight_first(g: Drawing) -> None:
    """The weight on the left mixes channels of a transposed sequence."""
    x = g.sequence()
    t, c = x.shape
    channels = g.integer(2, 8)
    turned = g.node("Transpose", x.name, perm=[0, 2, 1])
    made = g.node("MatMul", g.weight(channels, c, fan_in=c), turned)
    g.add(g.node("Transpose", made, perm=[0, 2, 1]), t, channels)


def matmul_tokens(g: Drawing) -> None:
    """The weight on the left mixes positions, as in MLP-Mixer; channels pass through."""
    x = g.sequence()
    t, c = x.shape
    tokens = g.integer(2, 6)
    g.add(g.node("MatMul", g.weight(tokens, t, fan_in=t), x.name), tokens, c)


def matmul_per_head(g: Drawing) -> None:
    """A stack of weights, one a head."""
    x = g.mixed(g.sequence(), 6)
    t, heads, width = x.shape[0], g.one_of(2, 3), g.integer(1, 3)
    parted = g.node("Transpose", g.reshape(x.name, t, heads, 6 // heads), perm=[0, 2, 1, 3])
    made = g.node("MatMul", parted, g.weight(heads, 6 // heads, width, fan_in=6 // heads))
    merged = g.node("Transpose", made, perm=[0, 2, 1, 3])
    g.add(g.reshape(merged, t, heads * width), t, heads * width)


def matmul_activations(g: Drawing) -> None:
    """Likeness of all positions: a product of two activations."""
    x = g.sequence()
    turned = g.node("Transpose", g.twin(x), perm=[0, 2, 1])
    made = g.node("MatMul", x.name, turned)
    g.add(g.node("Mul", made, g.constant(1 / x.channels, "f4")), x.shape[0], x.shape[0])


def tied_gemm(g: Drawing) -> None:
    """One weight forth and, transposed, back: an autoencoder."""
    x = g.vector()
    channels = g.integer(2, 8)
    weight = g.weight(channels, x.channels, fan_in=channels)
    hidden = g.node("Relu", g.node("Gemm", x.name, weight, g.weight(channels), transB=1))
    g.add(g.node("Gemm", hidden, weight, g.weight(x.channels), transB=0), x.channels)


def tied_matmul(g: Drawing) -> None:
    """One weight forth and, behind a Transpose node, back."""
    x = g.sequence()
    channels = g.integer(2, 8)
    weight = g.weight(x.channels, channels, fan_in=channels)
    hidden = g.node("Tanh", g.node("MatMul", x.name, weight))
    back = g.node("Transpose", weight, perm=[1, 0])
    g.add(g.node("MatMul", hidden, back), *x.shape)


def shared_gemm(g: Drawing) -> None:
    """Twins: one weight and one bias on two vectors, which are then compared."""
    x = g.vector()
    channels = g.integer(2, 6)
    weight, bias = g.weight(channels, x.channels, fan_in=x.channels), g.weight(channels)
    both = [g.node("Gemm", data, weight, bias, transB=1) for data in (x.name, g.twin(x))]
    g.add(g.node(g.one_of("Sub", "Mul"), *both), channels)


def mlp(g: Drawing) -> None:
    x = g.feature()
    hidden = g.mixed(x, g.integer(2, 8))
    back = g.mixed(Feature(_gelu(g, hidden.name), hidden.shape), x.channels)
    g.add(g.node("Add", x.name, back.name) if g.yes() else back.name, *x.shape)


def gated_mlp(g: Drawing) -> None:
    """As in Llama: silu(x A) * (x B), then back."""
    x = g.feature()
    width = g.integer(2, 8)
    gate, up = g.mixed(x, width), g.mixed(x, width)
    silu = g.node("Mul", gate.name, g.node("Sigmoid", gate.name))
    inner = Feature(g.node("Mul", silu, up.name), up.shape)
    g.add(g.mixed(inner, x.channels).name, *x.shape)


def layer_normalization(g: Drawing) -> None:
    x = g.sequence()
    c = x.channels
    if g.yes():
        made = g.node("LayerNormalization", x.name, g.weight(c), g.weight(c), epsilon=1e-2)
    else:
        centred = g.node("Sub", x.name, g.reduce("ReduceMean", x.name, (-1,)))
        variance = g.reduce("ReduceMean", g.node("Mul", centred, centred), (-1,))
        deviation = g.node("Sqrt", g.node("Add", variance, g.constant(1e-2, "f4")))
        made = g.node("Mul", g.node("Div", centred, deviation), g.weight(c))
        made = g.node("Add", made, g.weight(c))
    g.add(made, *x.shape)


def einsum(g: Drawing) -> None:
    kind = g.one_of("sequence", "map", "activations")
    if kind == "sequence":
        x, channels = g.sequence(), g.integer(2, 6)
        weight = g.weight(x.channels, channels, fan_in=x.channels)
        made = g.node("Einsum", x.name, weight, equation="btc,cd->btd")
    elif kind == "map":
        x, channels = g.feature_map(), g.integer(2, 6)
        weight = g.weight(channels, x.channels, fan_in=x.channels)
        made = g.node("Einsum", x.name, weight, equation="bchw,oc->bohw")
    else:
        x, channels = (s := g.sequence()), s.shape[0]
        made = g.node("Einsum", x.name, g.twin(x), equation="bqc,bkc->bqk")
        made = g.node("Div", made, g.constant(x.channels, "f4"))
    g.add(made, *x.with_channels(channels))


def _gelu(g: Drawing, name: str) -> str:
    if g.opset >= 20 and g.yes():
        return g.node("Gelu", name, approximate=g.one_of("none", "tanh"))
    half = g.node("Erf", g.node("Div", name, g.constant(2**0.5, "f4")))
    raised = g.node("Mul", name, g.node("Add", half, g.constant(1, "f4")))
    return g.node("Mul", raised, g.constant(0.5, "f4"))
