"""Random ONNX graphs that compose every operator which pruning must see through, or refuse.

To add an operator: write a function that takes the `Drawing`, picks features from it, appends
nodes and adds what they make; list it in `OPERATORS`, or in `PINNING` where its channels can
never go.
"""

from __future__ import annotations

from hypothesis import strategies as st
from onnx import ModelProto

from random_graphs import convolution, dense, elementwise, foreign, movement, sequential
from random_graphs.drawing import Drawing, Feature

OPERATORS = (
    convolution.conv,
    convolution.grouped_conv,
    convolution.depthwise_conv,
    convolution.conv_in_time,
    convolution.conv_transpose,
    convolution.grouped_conv_transpose,
    convolution.shared_conv,
    convolution.conv_then_itself,
    convolution.batch_normalization,
    convolution.prelu,
    convolution.instance_normalization,
    convolution.pool,
    convolution.global_pool,
    convolution.squeeze_and_excite,
    convolution.spatial_gate,
    convolution.resize,
    convolution.resize_like,
    convolution.pad_space,
    convolution.pad_channels,
    convolution.depth_to_space,
    convolution.space_to_depth,
    convolution.channel_shuffle,
    convolution.channel_shuffle_by_own_shape,
    dense.gemm,
    dense.flatten_gemm,
    dense.matmul,
    dense.matmul_vector,
    dense.gemm_on_rows,
    dense.matmul_channels_last,
    dense.matmul_weight_first,
    dense.matmul_tokens,
    dense.matmul_per_head,
    dense.matmul_activations,
    dense.tied_gemm,
    dense.tied_matmul,
    dense.shared_gemm,
    dense.mlp,
    dense.gated_mlp,
    dense.einsum,
    elementwise.activation,
    elementwise.bias,
    elementwise.scale,
    elementwise.divide,
    elementwise.residual,
    elementwise.subtract,
    elementwise.total,
    elementwise.gate,
    elementwise.broadcast_vector,
    elementwise.where,
    elementwise.clip,
    elementwise.cast,
    elementwise.softmax_over_space,
    elementwise.reduce_space,
    elementwise.reduce_time,
    movement.concat,
    movement.concat_in_space,
    movement.class_token,
    movement.expand_like,
    movement.windows,
    movement.split_equal,
    movement.split_unequal,
    movement.slice_channels,
    movement.slice_space,
    movement.gather_channels,
    movement.gather_one_channel,
    movement.gather_one_position,
    movement.heads_and_back,
    movement.scrambled,
    movement.transpose_and_back,
    movement.squeeze_and_back,
    movement.to_sequence,
    movement.to_map,
    movement.rows_to_sequence,
    movement.repeat_channels,
    movement.repeat_each_channel,
    movement.expand_space,
    sequential.attention,
    sequential.attention_fused_by_split,
    sequential.attention_fused_by_reshape,
    sequential.rotary_positions,
    sequential.lstm,
    sequential.gru,
    sequential.rnn,
)
"""Channels through these can be removed."""

PINNING = (
    convolution.group_normalization,
    dense.layer_normalization,
    elementwise.softmax_over_channels,
    elementwise.reduce_channels,
    elementwise.channel_attention,
    movement.embedding,
    foreign.if_branches,
    foreign.loop,
    foreign.cumulative_sum,
    foreign.top_k,
    foreign.scatter,
    foreign.response_normalization,
    foreign.unit_length,
)
"""What these read may have to stay whole."""

_DECISIONS = 400
_MOST_NODES = 22
_MOST_ENDS = 3


def model_protos() -> st.SearchStrategy[ModelProto]:
    """Return graphs of some 3 to 45 nodes with random weights, their batch axis dynamic.

    One draw of bytes decides all: draws for each decision made copies of each other more often
    than graphs of their own.
    """
    return st.binary(min_size=_DECISIONS, max_size=_DECISIONS).map(grown)


def grown(decisions: bytes) -> ModelProto:
    """Return the graph that comes of these decisions.

    The input `x` (and perhaps `s`, a sequence) goes through a weighted stem, then through one to
    seven operators of the tuples above. What no operator reads in the end is led through a head
    to an output, or is one.
    """
    g = Drawing(decisions)
    inputs = _inputs(g)
    for _ in range(g.integer(1, 7)):
        if len(g.nodes) >= _MOST_NODES:
            break
        pinning = g.integer(0, 9) == 9
        operator = g.one_of(*(PINNING if pinning else OPERATORS))
        g.operator = operator.__name__
        operator(g)
    g.operator = "end"
    return g.model(inputs, [_end(g, feature) for feature in _unread(g)])


def _inputs(g: Drawing) -> list[Feature]:
    """Begin with an image, a sequence or both, each behind a weight."""
    kind = g.one_of("image", "sequence", "both")
    inputs = []
    if kind != "sequence":
        inputs.append(Feature("x", (g.integer(1, 4), g.integer(2, 8), g.integer(2, 8))))
    if kind != "image":
        inputs.append(Feature("s" if inputs else "x", (g.integer(2, 6), g.integer(2, 6))))
    for feature in inputs:
        stem = g.mixed(feature, g.integer(2, 8))
        g.add(stem.name, *stem.shape)
    return inputs


def _unread(g: Drawing) -> list[Feature]:
    """Return the newest features that no node reads."""
    read = {name for node in g.nodes for name in node.input}
    for node in g.nodes:
        for attribute in node.attribute:
            read.update(name for inner in attribute.g.node for name in inner.input)
    unread = {f.name: f for f in g.features if f.name not in read}
    return list(unread.values())[-_MOST_ENDS:]


def _end(g: Drawing, x: Feature) -> Feature:
    """Lead to an output: through a weight over all channels, or as it is."""
    if g.integer(0, 5) == 5:
        return x
    if len(x.shape) == 3 and g.yes():
        x = Feature(g.node("Flatten", g.node("GlobalAveragePool", x.name), axis=1), x.shape[:1])
    return g.mixed(x, g.integer(1, 4))
