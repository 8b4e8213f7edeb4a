"""Which channels belong together, operator by operator and trap by trap."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph import Model
from edgekit.pruning.analysis import couple
from edgekit.pruning.preparing import prepared
from edgekit.pruning.rules.reshaping import stretches

N = helper.make_node
IMAGE = ("x", ["N", 3, 8, 8])
TOKENS = ("x", ["N", 5, 12])


def model_of(nodes, weights, x=IMAGE, outputs=("y",), constants=None):
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.standard_normal(shape).astype("f4"), name)
        for name, shape in weights.items()
    ]
    tensors += [numpy_helper.from_array(np.array(v), k) for k, v in (constants or {}).items()]
    nodes = list(nodes)
    for number, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}{number}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(x[0], TensorProto.FLOAT, x[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Model(ir=ir.from_proto(proto), name="g")


def coupled(nodes, weights, *, heads=False, **more):
    model = prepared(model_of(nodes, weights, **more))
    x = more.get("x", IMAGE)
    return couple(model, {x[0]: (2, *x[1][1:])}, heads=heads)


def groups(coupling):
    return {group.name: group for group in coupling.groups}


def test_a_chain_couples_producer_bias_norm_and_consumer():
    found = coupled(
        [
            N("Conv", ["x", "w", "b"], ["c"]),
            N("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
            N("PRelu", ["n", "slope"], ["r"]),
            N("Conv", ["r", "w2"], ["d"]),
            N("GlobalAveragePool", ["d"], ["y"]),
        ],
        {
            "w": (6, 3, 3, 3), "b": (6,), "s": (6,), "t": (6,), "m": (6,), "v": (6,),
            "slope": (6, 1, 1), "w2": (4, 6, 1, 1),
        },
    )  # fmt: skip
    group = groups(found)["Conv0"]
    assert group.pinned_by is None
    assert len(group.channels) == 6
    assert group.producers == (("w", 0),)
    assert group.consumers == (("w2", 1),)
    for name in "bstmv":
        assert (found.on(name, 0) == found.on("w", 0)).all()
    assert (found.on("slope", 0) == found.on("w2", 1)).all()
    assert groups(found)["Conv3"].pinned_by.reason == "GlobalAveragePool: makes a graph output"
    assert found.on("x", 1) is None


def test_a_residual_sum_unites_and_squeeze_and_excite_follows():
    found = coupled(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Conv", ["a", "w2"], ["b"]),
            N("Add", ["a", "b"], ["s"]),
            N("GlobalAveragePool", ["s"], ["p"]),
            N("Conv", ["p", "down"], ["d"]),
            N("Conv", ["d", "up"], ["u"]),
            N("Sigmoid", ["u"], ["g"]),
            N("Mul", ["s", "g"], ["m"]),
            N("Conv", ["m", "out"], ["y"]),
        ],
        {
            "w1": (6, 3, 1, 1), "w2": (6, 6, 1, 1), "down": (2, 6, 1, 1),
            "up": (6, 2, 1, 1), "out": (4, 6, 1, 1),
        },
    )  # fmt: skip
    trunk = groups(found)["Conv0"]
    assert trunk.producers == (("w1", 0), ("w2", 0), ("up", 0))
    assert set(trunk.consumers) == {("w2", 1), ("down", 1), ("out", 1)}
    assert len(groups(found)["Conv4"].channels) == 2


def test_flatten_repeats_a_channel_for_every_pixel():
    found = coupled(
        [
            N("Conv", ["x", "w"], ["c"], strides=[4, 4]),
            N("Flatten", ["c"], ["f"]),
            N("Gemm", ["f", "v"], ["y"], transB=1),
        ],
        {"w": (6, 3, 1, 1), "v": (10, 24)},
    )
    ids = found.on("v", 1)
    assert (ids == np.repeat(found.on("w", 0), 4)).all()


def test_concat_and_slice_keep_their_offsets():
    found = coupled(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Conv", ["x", "w2"], ["b"]),
            N("Concat", ["a", "x", "b"], ["c"], axis=1),
            N("Slice", ["c", "from", "to", "axis"], ["s"]),
            N("Conv", ["s", "w3"], ["d"]),
            N("ReduceMean", ["d"], ["y"], axes=[2, 3]),
        ],
        {"w1": (6, 3, 1, 1), "w2": (4, 3, 1, 1), "w3": (5, 8, 1, 1)},
        constants={"from": [3], "to": [-2], "axis": [1]},
    )
    read = found.on("w3", 1)
    assert (read[:3] == found.on("w1", 0)[3:]).all()
    assert (found.pinned[read[3:6]] >= 0).all()
    assert (read[6:] == found.on("w2", 0)[:2]).all()
    assert len(groups(found)["Conv0"].channels) == 6
    assert len(groups(found)["Conv1"].channels) == 4


@pytest.mark.parametrize(("group", "channels", "width"), [(8, 8, 1), (4, 4, 2), (2, 4, 2)])
def test_grouped_convolution_by_whole_groups_or_by_places(group, channels, width):
    found = coupled(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Conv", ["a", "w2"], ["b"], group=group),
            N("Conv", ["b", "w3"], ["y"]),
        ],
        {"w1": (8, 3, 1, 1), "w2": (8, 8 // group, 3, 3), "w3": (4, 8, 1, 1)},
    )
    group = groups(found)["Conv0"]
    assert (len(group.channels), group.width) == (channels, width)


def test_a_channel_shuffle_takes_the_same_place_of_every_group():
    found = coupled(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Reshape", ["a", "five"], ["r"]),
            N("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
            N("Reshape", ["t", "four"], ["s"]),
            N("Conv", ["s", "w2"], ["y"]),
        ],
        {"w1": (8, 3, 1, 1), "w2": (4, 8, 1, 1)},
        constants={"five": [0, 2, 4, 8, 8], "four": [0, 8, 8, 8]},
    )
    first = found.on("w1", 0)
    assert first.tolist() == [*first[:4], *first[:4]]
    assert found.on("w2", 1).tolist() == np.repeat(first[:4], 2).tolist()


def test_sub_pixel_convolution_by_reshape_keeps_whole_channels():
    found = coupled(
        [
            N("Conv", ["x", "w1"], ["a"]),
            N("Reshape", ["a", "six"], ["r"]),
            N("Transpose", ["r"], ["t"], perm=[0, 1, 4, 2, 5, 3]),
            N("Reshape", ["t", "four"], ["s"]),
            N("Conv", ["s", "w2"], ["y"]),
        ],
        {"w1": (12, 3, 1, 1), "w2": (4, 3, 1, 1)},
        constants={"six": [0, 3, 2, 2, 8, 8], "four": [0, 3, 16, 16]},
    )
    assert groups(found)["Conv0"].width == 4
    assert len(groups(found)["Conv0"].channels) == 3


def attention():
    split = [
        node
        for name in "qkv"
        for node in (
            N("MatMul", ["x", f"w{name}"], [f"{name}0"], f"project_{name}"),
            N("Reshape", [f"{name}0", "heads"], [f"{name}1"]),
            N(
                "Transpose",
                [f"{name}1"],
                [name],
                perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3],
            ),
        )
    ]
    return [
        *split,
        N("MatMul", ["q", "k"], ["scores"], "scores"),
        N("Softmax", ["scores"], ["p"]),
        N("MatMul", ["p", "v"], ["o"], "mix"),
        N("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]),
        N("Reshape", ["o1", "merged"], ["o2"]),
        N("MatMul", ["o2", "wo"], ["z"], "out"),
        N("Add", ["x", "z"], ["y"]),
    ]


WEIGHTS = {"wq": (12, 12), "wk": (12, 12), "wv": (12, 12), "wo": (12, 12)}
SHAPES = {"heads": [0, 0, 3, 4], "merged": [0, 0, 12]}


def test_attention_by_width_couples_q_with_k_and_v_with_the_output():
    found = coupled(attention(), WEIGHTS, x=TOKENS, constants=SHAPES)
    assert (found.on("wq", 1) == found.on("wk", 1)).all()
    assert (found.on("wv", 1) == found.on("wo", 0)).all()
    query, value = groups(found)["project_q"], groups(found)["project_v"]
    assert (len(query.channels), query.width) == (4, 3)
    assert (len(value.channels), value.width) == (4, 3)
    assert not np.isin(query.channels, value.channels).any()


def test_attention_by_heads_couples_all_of_a_head():
    found = coupled(attention(), WEIGHTS, heads=True, x=TOKENS, constants=SHAPES)
    only = groups(found)["project_q"]
    assert (len(only.channels), only.width) == (3, 4)
    assert only.producers == (("wq", 1), ("wk", 1), ("wv", 1))
    assert (found.on("wq", 1) == np.repeat(only.channels, 4)).all()


def test_recurrent_units_are_rows_of_every_gate():
    found = coupled(
        [
            N("GRU", ["x", "w", "r", "b"], ["h", ""], hidden_size=4, direction="bidirectional"),
            N("Transpose", ["h"], ["t"], perm=[0, 2, 1, 3]),
            N("Reshape", ["t", "merged"], ["m"]),
            N("MatMul", ["m", "v"], ["y"]),
        ],
        {"w": (2, 12, 12), "r": (2, 12, 4), "b": (2, 24), "v": (8, 5)},
        x=TOKENS,
        constants={"merged": [0, 0, -1]},
    )
    units = found.on("r", 2)
    assert (found.on("w", 1) == np.tile(units, 3)).all()
    assert (found.on("b", 1) == np.tile(units, 6)).all()
    assert (found.on("v", 0) == np.tile(units, 2)).all()
    assert groups(found)["GRU0"].width == 1


def test_states_of_zeros_do_not_couple_layers():
    nodes = [
        N("Shape", ["x"], ["s"], start=1, end=2),
        N("Concat", ["one", "s", "four"], ["size"], axis=0),
        N("ConstantOfShape", ["size"], ["h0"]),
        N("GRU", ["x", "w1", "r1", "", "", "h0"], ["a"], hidden_size=4),
        N("Squeeze", ["a", "one"], ["b"]),
        N("GRU", ["b", "w2", "r2", "", "", "h0"], ["y"], hidden_size=4),
    ]
    found = coupled(
        nodes,
        {"w1": (1, 12, 12), "r1": (1, 12, 4), "w2": (1, 12, 4), "r2": (1, 12, 4)},
        x=TOKENS,
        constants={"one": [1], "four": [4]},
    )
    assert groups(found)["GRU3"].pinned_by is None


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (N("LayerNormalization", ["c", "s", "t"], ["n"], axis=1), "normalizes over the channels"),
        (N("Softmax", ["c"], ["n"], axis=1), "works along the channels"),
        (N("Trilu", ["c"], ["n"]), "an operator without a rule"),
    ],
)
def test_what_looks_across_channels_pins_them_with_the_reason(node, reason):
    found = coupled(
        [N("Conv", ["x", "w1"], ["c"]), node, N("Conv", ["n", "w2"], ["y"])],
        {"w1": (6, 3, 1, 1), "w2": (4, 6, 1, 1), "s": (6, 8, 8), "t": (6, 8, 8)},
    )
    assert groups(found)["Conv0"].pinned_by.reason.endswith(reason)


def test_a_shared_weight_holds_for_all_its_uses():
    found = coupled(
        [
            N("Conv", ["x", "w0"], ["a"]),
            N("Conv", ["a", "w"], ["b"]),
            N("Conv", ["b", "w"], ["c"]),
            N("Conv", ["c", "w3"], ["y"]),
        ],
        {"w0": (6, 3, 1, 1), "w": (6, 6, 3, 3), "w3": (4, 6, 1, 1)},
    )
    assert (found.on("w", 0) == found.on("w", 1)).all()
    assert groups(found)["Conv0"].producers == (("w0", 0), ("w", 0))


def test_multiply_adds_go_with_the_axes():
    found = coupled(
        [N("Conv", ["x", "w1"], ["a"]), N("Conv", ["a", "w2"], ["y"])],
        {"w1": (6, 3, 1, 1), "w2": (4, 6, 3, 3)},
    )
    first, second = found.products
    assert (first.macs, second.macs) == (2 * 64 * 3 * 6, 2 * 36 * 6 * 4 * 9)
    assert [len(ids) for ids in second.axes] == [4, 6]


def test_stretches_part_shapes():
    parts = stretches((2, 3, 8, 5, 1), (6, 1, 2, 4, 5))
    assert [(part.before, part.after) for part in parts] == [
        ((0, 1), (0,)),
        ((2,), (2, 3)),
        ((3,), (4,)),
    ]
