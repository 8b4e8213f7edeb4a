"""The smaller graph answers as the whole one whose consumers read zeros, operator by operator."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.errors import ModelError
from edgekit.graph import Model
from edgekit.graph.equality import largest_difference
from edgekit.graph.surgery import constant_of
from edgekit.pruning.analysis import couple
from edgekit.pruning.masking import masked
from edgekit.pruning.preparing import prepared
from edgekit.pruning.surgery import removed

N = helper.make_node
IMAGE = ["N", 3, 8, 8]
TOKENS = ["N", 5, 12]


def coupled(nodes, weights, constants=None, *, x=IMAGE, opset=17, heads=False, prepare=prepared):
    """Couple a graph from x to y; what y holds is never removed."""
    rng = np.random.default_rng(0)
    tensors = {k: rng.standard_normal(shape).astype("f4") for k, shape in weights.items()}
    tensors |= {name: np.asarray(value) for name, value in (constants or {}).items()}
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}{number}"
    proto = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(proto, opset_imports=opsets, ir_version=9)
    model = prepare(Model(ir=ir.from_proto(model), name="g"))
    return couple(model, {"x": (2, *x[1:])}, heads=heads)


def without(coupling, **channels):
    """Return flags that drop these channels of each group, by their place in it."""
    keep = coupling.everything()
    groups = {group.name: group for group in coupling.groups}
    for name, gone in channels.items():
        assert groups[name].pinned_by is None
        keep[groups[name].channels[list(gone)]] = False
    return keep


def cut(coupling, **channels):
    """Remove channels, hold the result against the oracle, and return its nodes by name."""
    keep = without(coupling, **channels)
    before = serialized(coupling.model)
    smaller = removed(coupling, keep)
    assert serialized(coupling.model) == before
    assert largest_difference(masked(coupling, keep), smaller) <= 1e-5
    onnx.shape_inference.infer_shapes(ir.to_proto(smaller.ir), strict_mode=True, data_prop=True)
    nodes = {node.name: node for node in smaller.ir.graph}
    assert nodes.keys() >= {node.name for node in coupling.model.ir.graph}
    return nodes


def serialized(model):
    return ir.to_proto(model.ir).SerializeToString(deterministic=True)


def parameter(node, index):
    return constant_of(node.inputs[index]).tolist()


def test_weights_of_a_chain_are_sliced_and_keep_their_names():
    coupling = coupled(
        [
            N("Conv", ["x", "w", "b"], ["c"]),
            N("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
            N("Sigmoid", ["n"], ["a"]),
            N("Conv", ["a", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "b": (6,), "s": (6,), "t": (6,), "m": (6,), "w2": (4, 6, 1, 1)},
        {"v": np.full(6, 0.5, "f4")},
    )
    nodes = cut(coupling, Conv0=[0, 4])
    whole = coupling.model.ir.graph.initializers
    for index, name in enumerate("wb", 1):
        expected = whole[name].const_value.numpy()[[1, 2, 3, 5]]
        assert np.array_equal(constant_of(nodes["Conv0"].inputs[index]), expected)
        assert nodes["Conv0"].inputs[index].name == name
    assert constant_of(nodes["Conv3"].inputs[1]).shape == (4, 4, 1, 1)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([0, 6, 36], [0, 4, 36]),
        ([0, 0, -1], [0, 0, -1]),
        ([-1, 6, 36], [-1, 4, 36]),
        ([0, -1, 36], [0, -1, 36]),
    ],
)
def test_reshape_to_constants(target, expected):
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Reshape", ["c", "target"], ["r"]),
            N("Conv", ["r", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1)},
        {"target": target},
    )
    assert parameter(cut(coupling, Conv0=[1, 2])["Reshape1"], 1) == expected


def test_reshape_whose_zero_would_copy_another_length():
    coupling = coupled(
        [
            N("MatMul", ["x", "w"], ["c"]),
            N("Unsqueeze", ["c", "last"], ["u"]),
            N("Expand", ["u", "four"], ["e"]),
            N("Reshape", ["e", "target"], ["r"]),
            N("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
            N("MatMul", ["t", "w2"], ["y"]),
        ],
        {"w": (12, 4), "w2": (20, 3)},
        {"last": [3], "four": [1, 1, 1, 4], "target": [0, -1, 0]},
        x=TOKENS,
    )
    assert parameter(cut(coupling, MatMul0=[1])["Reshape3"], 1) == [0, -1, 4]


def test_two_reshapes_share_a_target():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Reshape", ["c", "target"], ["r"]),
            N("Conv", ["r", "w2"], ["d"]),
            N("Conv", ["x", "w3"], ["e"]),
            N("Reshape", ["e", "target"], ["f"]),
            N("Conv", ["f", "w2"], ["g"]),
            N("Add", ["d", "g"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1), "w3": (6, 3, 3, 3)},
        {"target": [0, 6, 36]},
    )
    nodes = cut(coupling, Conv0=[5])
    assert parameter(nodes["Reshape1"], 1) == parameter(nodes["Reshape4"], 1) == [0, 5, 36]
    names = set(nodes["Conv0"].graph.initializers)
    assert "target" not in names


def test_a_shared_target_stays_for_who_is_not_concerned():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Reshape", ["c", "target"], ["r"]),
            N("Conv", ["r", "w2"], ["d"]),
            N("Reshape", ["d", "target"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (6, 6, 1)},
        {"target": [0, 6, 36]},
    )
    nodes = cut(coupling, Conv0=[5])
    assert parameter(nodes["Reshape1"], 1) == [0, 5, 36]
    assert nodes["Reshape3"].inputs[1].name == "target"
    assert parameter(nodes["Reshape3"], 1) == [0, 6, 36]


def test_reshape_to_a_computed_target():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Shape", ["c"], ["s"]),
            N("Shape", ["zero"], ["one"]),
            N("Add", ["one", "one"], ["two"]),
            N("Slice", ["s", "zero", "two"], ["front"]),
            N("Concat", ["front", "rest"], ["target"], axis=0),
            N("Reshape", ["c", "target"], ["r"]),
            N("Conv", ["r", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1)},
        {"zero": [0], "rest": [-1]},
    )
    cut(coupling, Conv0=[1, 2])


def test_reshape_that_merges_batch_and_heads():
    coupling = coupled(
        [
            N("MatMul", ["x", "w"], ["q"]),
            N("Reshape", ["q", "split"], ["h"]),
            N("Transpose", ["h"], ["t"], perm=[0, 2, 1, 3]),
            N("Shape", ["t"], ["s"]),
            N("Split", ["s"], ["s0", "s1", "s2", "s3"], axis=0),
            N("Mul", ["s0", "s1"], ["merged"]),
            N("Concat", ["merged", "s2", "s3"], ["target"], axis=0),
            N("Reshape", ["t", "target"], ["m"]),
            N("Relu", ["m"], ["a"]),
            N("Reshape", ["a", "apart"], ["p"]),
            N("Transpose", ["p"], ["u"], perm=[0, 2, 1, 3]),
            N("Reshape", ["u", "flat"], ["f"]),
            N("MatMul", ["f", "w2"], ["y"]),
        ],
        {"w": (12, 8), "w2": (8, 3)},
        {"split": [0, 5, 4, 2], "apart": [-1, 4, 5, 2], "flat": [0, 5, 8]},
        x=TOKENS,
        heads=True,
    )
    nodes = cut(coupling, MatMul0=[2])
    assert parameter(nodes["Reshape9"], 1) == [-1, 3, 5, 2]


@pytest.mark.parametrize("computed", [False, True])
def test_expand(computed):
    target = [
        N("Shape", ["c"], ["s"]),
        N("Slice", ["s", "zero", "two"], ["front"]),
        N("Concat", ["front", "space"], ["target"], axis=0),
    ]
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("GlobalAveragePool", ["c"], ["p"]),
            *(target if computed else ()),
            N("Expand", ["p", "target"], ["e"]),
            N("Conv", ["e", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
        {"zero": [0], "two": [2], "space": [3, 2]} if computed else {"target": [1, 6, 3, 2]},
    )
    nodes = cut(coupling, Conv0=[0, 3])
    if not computed:
        assert parameter(nodes["Expand2"], 1) == [1, 4, 3, 2]


LAST = np.iinfo(np.int64).max


@pytest.mark.parametrize(
    ("bounds", "channels", "gone", "expected"),
    [
        ((0, 4, None), 4, [1, 5], ([0], [3], None)),
        ((2, LAST, None), 6, [0, 3, 7], ([1], [5], None)),
        ((-4, -1, None), 3, [0, 5], ([3], [5], None)),
        ((1, LAST, 2), 4, [1], ([1], [6], [2])),
        ((3, 7, 1), 4, [3, 4], ([3], [5], [1])),
    ],
)
def test_slice(bounds, channels, gone, expected):
    start, end, step = bounds
    steps = {} if step is None else {"step": [step]}
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Slice", ["c", "start", "end", "axis", *steps], ["s"]),
            N("Conv", ["s", "w2"], ["y"]),
            N("Conv", ["c", "w3"], ["z"]),
        ],
        {"w": (8, 3, 3, 3), "w2": (4, channels, 1, 1), "w3": (2, 8, 1, 1)},
        {"start": [start], "end": [end], "axis": [-3], **steps},
    )
    node = cut(coupling, Conv0=gone)["Slice1"]
    starts, ends, new_steps = expected
    assert parameter(node, 1) == starts
    assert parameter(node, 2) == ends
    assert (parameter(node, 4) if step is not None else None) == new_steps


def test_slice_in_space_is_left_alone():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Slice", ["c", "start", "end", "axis"], ["s"]),
            N("Conv", ["s", "w2"], ["y"]),
        ],
        {"w": (8, 3, 3, 3), "w2": (4, 8, 1, 1)},
        {"start": [1], "end": [3], "axis": [2]},
    )
    assert cut(coupling, Conv0=[0])["Slice1"].inputs[1].name == "start"


@pytest.mark.parametrize("form", ["equal", "sizes", "num_outputs", "attribute"])
def test_split(form):
    opset = {"num_outputs": 18, "attribute": 11}.get(form, 17)
    attributes = {"num_outputs": {"num_outputs": 2}, "attribute": {"split": [4, 4]}}.get(form, {})
    sizes = ["sizes"] if form == "sizes" else []
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Split", ["c", *sizes], ["a", "b"], axis=1, **attributes),
            N("Conv", ["a", "w2"], ["d"]),
            N("Conv", ["b", "w3"], ["e"]),
            N("Add", ["d", "e"], ["y"]),
        ],
        {"w": (8, 3, 3, 3), "w2": (4, 4, 1, 1), "w3": (4, 4, 1, 1)},
        {"sizes": [4, 4]} if sizes else {},
        opset=opset,
    )
    node = cut(coupling, Conv0=[0, 1, 5])["Split1"]
    if form == "attribute":
        assert list(node.attributes.get_ints("split")) == [2, 3]
        assert len(node.inputs) == 1
    else:
        assert parameter(node, 1) == [2, 3]
        assert "num_outputs" not in node.attributes


def test_gather_of_permuted_channels():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Gather", ["c", "order"], ["g"], axis=1),
            N("Conv", ["g", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 7, 1, 1)},
        {"order": [5, 0, -2, 1, 3, 2, 0]},
    )
    assert parameter(cut(coupling, Conv0=[1, 4])["Gather1"], 1) == [3, 0, 2, 1, 0]


def test_gather_of_one_place():
    coupling = coupled(
        [
            N("MatMul", ["x", "w"], ["c"]),
            N("Gather", ["c", "first"], ["g"], axis=1),
            N("Gemm", ["g", "w2"], ["y"]),
        ],
        {"w": (12, 6), "w2": (6, 3)},
        {"first": 0},
        x=TOKENS,
    )
    assert parameter(cut(coupling, MatMul0=[1, 4])["Gather1"], 1) == 0


@pytest.mark.parametrize(
    ("group", "shape", "gone", "expected"),
    [
        (8, (8, 1, 3, 3), [1, 2], 6),
        (4, (8, 2, 3, 3), [0], 3),
        (2, (8, 4, 3, 3), [0, 3], 2),
    ],
    ids=["depthwise", "whole groups", "places in a group"],
)
def test_grouped_convolution(group, shape, gone, expected):
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Conv", ["c", "wg", "b"], ["d"], group=group),
            N("Conv", ["d", "w2"], ["y"]),
        ],
        {"w": (8, 3, 3, 3), "wg": shape, "b": (8,), "w2": (4, 8, 1, 1)},
    )
    node = cut(coupling, Conv0=gone)["Conv1"]
    assert node.attributes.get_int("group", 1) == expected


@pytest.mark.parametrize(
    ("group", "shape", "out", "gone", "expected"),
    [
        (1, (8, 6, 2, 2), 6, [1, 2], 1),
        (8, (8, 1, 2, 2), 8, [1, 2], 6),
        (8, (8, 2, 2, 2), 16, [3], 7),
        (2, (8, 3, 2, 2), 6, [0, 3], 2),
    ],
)
def test_transposed_convolution(group, shape, out, gone, expected):
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("ConvTranspose", ["c", "wt", "b"], ["d"], group=group, strides=[2, 2]),
            N("Conv", ["d", "w2"], ["y"]),
        ],
        {"w": (8, 3, 3, 3), "wt": shape, "b": (out,), "w2": (4, out, 1, 1)},
    )
    node = cut(coupling, Conv0=gone)["ConvTranspose1"]
    assert node.attributes.get_int("group", 1) == expected


@pytest.mark.parametrize(
    ("op_type", "gates", "directions"), [("GRU", 3, 1), ("LSTM", 4, 2), ("RNN", 1, 1)]
)
def test_recurrent(op_type, gates, directions):
    direction = "bidirectional" if directions == 2 else "forward"
    coupling = coupled(
        [
            N("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            N(op_type, ["t", "w", "r", "b"], ["h"], hidden_size=6, direction=direction),
            N("Transpose", ["h"], ["u"], perm=[2, 0, 1, 3]),
            N("Reshape", ["u", "target"], ["f"]),
            N("MatMul", ["f", "w2"], ["y"]),
        ],
        {
            "w": (directions, gates * 6, 12),
            "r": (directions, gates * 6, 6),
            "b": (directions, gates * 12),
            "w2": (directions * 6, 3),
        },
        {"target": [0, 0, directions * 6]},
        x=TOKENS,
    )
    nodes = cut(coupling, **{f"{op_type}1": [0, 3]})
    assert nodes[f"{op_type}1"].attributes.get_int("hidden_size") == 4
    assert parameter(nodes["Reshape3"], 1) == [0, 0, directions * 4]
    assert constant_of(nodes[f"{op_type}1"].inputs[2]).shape == (directions, gates * 4, 4)


@pytest.mark.parametrize("computed", [False, True])
def test_resize_by_sizes(computed):
    sizes = [
        N("Shape", ["c"], ["s"]),
        N("Slice", ["s", "zero", "two"], ["front"]),
        N("Concat", ["front", "space"], ["sizes"], axis=0),
    ]
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            *(sizes if computed else ()),
            N("Resize", ["c", "", "", "sizes"], ["r"], mode="nearest"),
            N("Conv", ["r", "w2"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
        {"zero": [0], "two": [2], "space": [12, 9]} if computed else {"sizes": [2, 6, 12, 9]},
        x=IMAGE if computed else [2, 3, 8, 8],
    )
    nodes = cut(coupling, Conv0=[0, 3])
    if not computed:
        assert parameter(nodes["Resize1"], 3) == [2, 4, 12, 9]


def test_arithmetic_on_a_length_goes_on_with_the_old_one():
    coupling = coupled(
        [
            N("MatMul", ["x", "w"], ["q"]),
            N("Shape", ["q"], ["s"], start=-1),
            N("Cast", ["s"], ["width"], to=TensorProto.FLOAT),
            N("Div", ["q", "width"], ["d"]),
            N("MatMul", ["d", "w2"], ["y"]),
        ],
        {"w": (12, 8), "w2": (8, 3)},
        x=TOKENS,
    )
    cut(coupling, MatMul0=[0, 1, 6])


def test_squeeze_without_axes_leaves_the_last_channel():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("GlobalAveragePool", ["c"], ["p"]),
            N("Squeeze", ["p"], ["s"]),
            N("Gemm", ["s", "w2"], ["y"]),
        ],
        {"w": (3, 3, 3, 3), "w2": (3, 4)},
        x=[2, 3, 8, 8],
    )
    assert parameter(cut(coupling, Conv0=[0, 2])["Squeeze2"], 1) == [2, 3]


def test_padding_and_pixels_need_no_correction():
    coupling = coupled(
        [
            N("Conv", ["x", "w"], ["c"]),
            N("Pad", ["c", "pads"], ["p"]),
            N("Conv", ["p", "w2"], ["d"]),
            N("DepthToSpace", ["d"], ["e"], blocksize=2),
            N("Conv", ["e", "w3"], ["y"]),
        ],
        {"w": (6, 3, 3, 3), "w2": (8, 8, 1, 1), "w3": (4, 2, 1, 1)},
        {"pads": [0, 1, 0, 0, 0, 1, 1, 1]},
    )
    cut(coupling, Conv0=[0, 3], Conv2=[1])


def test_attention_reads_masked_activations():
    def projected(name, order):
        return [
            N("MatMul", ["x", f"w{name}"], [f"{name}1"]),
            N("Reshape", [f"{name}1", "split"], [f"{name}2"]),
            N("Transpose", [f"{name}2"], [name], perm=order),
        ]

    coupling = coupled(
        [
            *projected("q", [0, 2, 1, 3]),
            *projected("k", [0, 2, 3, 1]),
            *projected("v", [0, 2, 1, 3]),
            N("MatMul", ["q", "k"], ["scores"]),
            N("Softmax", ["scores"], ["shares"]),
            N("MatMul", ["shares", "v"], ["o"]),
            N("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]),
            N("Reshape", ["o1", "merge"], ["o2"]),
            N("MatMul", ["o2", "wo"], ["y"]),
        ],
        {"wq": (12, 12), "wk": (12, 12), "wv": (12, 12), "wo": (12, 3)},
        {"split": [0, 0, 3, 4], "merge": [0, 0, 12]},
        x=TOKENS,
    )
    nodes = cut(coupling, MatMul0=[1], MatMul6=[0, 2])
    assert parameter(nodes["Reshape1"], 1) == [0, 0, 3, 3]
    assert parameter(nodes["Reshape7"], 1) == [0, 0, 3, 2]
    assert parameter(nodes["Reshape13"], 1) == [0, 0, 6]


def test_a_tied_weight_makes_channels_here_and_reads_them_there():
    coupling = coupled(
        [
            N("MatMul", ["x", "w"], ["c"]),
            N("Relu", ["c"], ["a"]),
            N("Transpose", ["w"], ["wt"]),
            N("MatMul", ["a", "wt"], ["y"]),
        ],
        {"w": (12, 8)},
        x=TOKENS,
    )
    cut(coupling, MatMul0=[0, 5])


def test_int8_weights_are_sliced_with_their_scales():
    integers = np.random.default_rng(0).integers(-99, 99, (6, 3, 3, 3)).astype("i1")
    coupling = coupled(
        [
            N("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
            N("Conv", ["x", "w"], ["c"]),
            N("DequantizeLinear", ["q2", "s2"], ["w2"], axis=0),
            N("Conv", ["c", "w2"], ["y"]),
        ],
        {},
        {
            "q": integers,
            "s": np.linspace(0.01, 0.02, 6, dtype="f4"),
            "z": np.arange(6, dtype="i1"),
            "q2": integers.reshape(27, 6, 1, 1),
            "s2": np.linspace(0.01, 0.02, 27, dtype="f4"),
        },
        prepare=lambda model: model,
    )
    keep = coupling.everything()
    keep[coupling.on("c", 1)[[0, 4]]] = False
    smaller = removed(coupling, keep)
    assert largest_difference(masked(coupling, keep), smaller) <= 1e-5
    found = smaller.ir.graph.initializers
    assert found["q"].const_value.numpy().shape == (4, 3, 3, 3)
    assert found["q2"].const_value.numpy().dtype == np.int8
    assert len(found["s"].const_value.numpy()) == len(found["z"].const_value.numpy()) == 4


def test_stale_shapes_are_forgotten():
    coupling = coupled(
        [N("Conv", ["x", "w"], ["c"]), N("Conv", ["c", "w2"], ["y"])],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
    )
    inferred = graph.infer_shapes(coupling.model)
    coupling = couple(inferred, {"x": (2, 3, 8, 8)})
    nodes = cut(coupling, Conv0=[0])
    assert nodes["Conv0"].outputs[0].shape is None
    assert nodes["Conv1"].outputs[0].shape is not None


def test_what_cannot_be_removed_is_an_error():
    coupling = coupled(
        [N("Conv", ["x", "w"], ["c"]), N("Conv", ["c", "w2"], ["y"])],
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
    )
    with pytest.raises(ModelError, match="axis 1: no channel would stay; keep at least one"):
        removed(coupling, without(coupling, Conv0=range(6)))
    keep = coupling.everything()
    keep[coupling.pinned >= 0] = False
    with pytest.raises(ValueError, match="pinned"):
        removed(coupling, keep)


def test_external_weights_are_sliced_when_read(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "w": rng.standard_normal((6, 3, 3, 3)).astype("f4"),
        "w2": rng.standard_normal((40, 6, 3, 3)).astype("f4"),
    }
    proto = helper.make_model(
        helper.make_graph(
            [N("Conv", ["x", "w"], ["c"], "Conv0"), N("Conv", ["c", "w2"], ["y"], "Conv1")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 40, 4, 4])],
            [numpy_helper.from_array(array, name) for name, array in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    file = tmp_path / "model.onnx"
    onnx.save(proto, file, save_as_external_data=True, location="model.data", size_threshold=0)
    coupling = couple(graph.load(file), {"x": (2, 3, 8, 8)})
    smaller = removed(coupling, without(coupling, Conv0=[0, 2]))
    weight = smaller.ir.graph.initializers["w2"].const_value
    assert isinstance(weight, ir.LazyTensor)
    assert np.array_equal(weight.numpy(), tensors["w2"][:, [1, 3, 4, 5]])
    twice = couple(smaller, {"x": (2, 3, 8, 8)})
    smallest = removed(twice, without(twice, Conv0=[1]))
    graph.save(smallest, tmp_path / "small.onnx")
    again = graph.load(tmp_path / "small.onnx")
    found = again.ir.graph.initializers["w2"].const_value.numpy()
    assert np.array_equal(found, tensors["w2"][:, [1, 4, 5]])
