"""Residual blocks are found, refused, removed, and what is left stands for the right value."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph import Model, costs
from edgekit.graph.equality import largest_difference
from edgekit.graph.surgery import name_nodes
from edgekit.pruning.blocks import blocks, twins, without


class Net:
    """Nodes one after the other, each named as its output; weights are made on the way."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.nodes, self.weights = [], {}

    def weight(self, name, *shape, zero=False):
        scale = 0.0 if zero else 1 / np.sqrt(np.prod(shape[1:]) or 1)
        self.weights[name] = (self.rng.standard_normal(shape) * scale).astype("f4")
        return name

    def put(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def conv(self, data, output, inputs, outputs, kernel=3, *, zero=False, **attributes):
        width = inputs // attributes.get("group", 1)
        names = [
            self.weight(f"{output}.w", outputs, width, kernel, kernel, zero=zero),
            self.weight(f"{output}.b", outputs, zero=zero),
        ]
        pads = [kernel // 2] * 4
        return self.put("Conv", [data, *names], output, pads=pads, **attributes)

    def linear(self, data, output, inputs, outputs):
        product = self.put(
            "MatMul", [data, self.weight(f"{output}.w", inputs, outputs)], f"{output}.mm"
        )
        return self.put("Add", [product, self.weight(f"{output}.b", outputs)], output)

    def norm(self, data, output, width):
        names = [self.weight(f"{output}.{part}", width) for part in "wb"]
        return self.put("LayerNormalization", [data, *names], output)

    def model(self, shape, *outputs, inputs=()):
        every = [("x", shape), *inputs]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in every],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        model = ir.from_proto(proto)
        name_nodes(model)
        return Model(ir=model, name="net.onnx")


IMAGE = ["N", 3, 8, 8]
WORDS = ["N", 6, 16]
SHAPES = {"x": (2, 3, 8, 8)}


def basic(net, x, name, width=8, *, zero=False):
    """x + conv(relu(conv(x))), then ReLU."""
    h = net.conv(x, f"{name}.c1", width, width)
    h = net.put("Relu", [h], f"{name}.r1")
    h = net.conv(h, f"{name}.c2", width, width, zero=zero)
    h = net.put("Add", [h, x], f"{name}.add")
    return net.put("Relu", [h], f"{name}.out")


def post_activation(*, zero=False):
    """Stem, two blocks, a downsampling one, one more, classifier."""
    net = Net()
    x = net.put("Relu", [net.conv("x", "stem", 3, 8)], "stem.out")
    x = basic(net, x, "b0")
    x = basic(net, x, "b1", zero=zero)
    main = net.put("Relu", [net.conv(x, "down.c1", 8, 12, strides=[2, 2])], "down.r1")
    main = net.conv(main, "down.c2", 12, 12)
    x = net.put("Add", [main, net.conv(x, "down.skip", 8, 12, 1, strides=[2, 2])], "down.add")
    x = basic(net, net.put("Relu", [x], "down.out"), "b2", 12, zero=zero)
    return net.model(IMAGE, net.put("GlobalAveragePool", [x], "y"))


def layer(net, x, name, width=16):
    """A pre-norm transformer layer with two heads, written by exporters with Reshapes."""
    n = net.norm(x, f"{name}.n1", width)
    parts = []
    for part in "qkv":
        p = net.linear(n, f"{name}.{part}", width, width)
        net.weights["heads"] = np.array([0, 6, 2, 8], "i8")
        p = net.put("Reshape", [p, "heads"], f"{name}.{part}4")
        parts.append(net.put("Transpose", [p], f"{name}.{part}t", perm=[0, 2, 1, 3]))
    q, k, v = parts
    k = net.put("Transpose", [k], f"{name}.kt2", perm=[0, 1, 3, 2])
    a = net.put("Softmax", [net.put("MatMul", [q, k], f"{name}.qk")], f"{name}.a", axis=-1)
    o = net.put(
        "Transpose", [net.put("MatMul", [a, v], f"{name}.av")], f"{name}.o", perm=[0, 2, 1, 3]
    )
    net.weights["joined"] = np.array([0, 6, 16], "i8")
    o = net.put("Reshape", [o, "joined"], f"{name}.o3")
    x = net.put("Add", [x, net.linear(o, f"{name}.proj", width, width)], f"{name}.mid")
    m = net.linear(net.norm(x, f"{name}.n2", width), f"{name}.up", width, 32)
    m = net.linear(net.put("Relu", [m], f"{name}.act"), f"{name}.down", 32, width)
    return net.put("Add", [net.linear(m, f"{name}.last", width, width), x], f"{name}.out")


def transformer():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    x = layer(net, layer(net, x, "l0"), "l1")
    return net.model(WORDS, net.norm(x, "y", 16))


def inverted(net, x, name, width=6, wide=24):
    """Expansion, depthwise convolution, squeeze-and-excite, linear projection."""
    h = net.put("HardSwish", [net.conv(x, f"{name}.e", width, wide, 1)], f"{name}.e.out")
    h = net.put("HardSwish", [net.conv(h, f"{name}.d", wide, wide, group=wide)], f"{name}.d.out")
    s = net.conv(net.put("GlobalAveragePool", [h], f"{name}.p"), f"{name}.s", wide, wide, 1)
    h = net.put("Mul", [h, net.put("HardSigmoid", [s], f"{name}.g")], f"{name}.se")
    return net.put("Add", [x, net.conv(h, f"{name}.l", wide, width, 1)], f"{name}.out")


def names(found):
    return [block.name for block in found]


def test_post_activation_blocks_end_behind_their_relu():
    found, refused = blocks(post_activation(), SHAPES)
    assert [(b.name, b.entry, b.exit) for b in found] == [
        ("b0.add", "stem.out", "b0.out"),
        ("b1.add", "b0.out", "b1.out"),
        ("b2.add", "down.out", "b2.out"),
    ]
    assert found[0].nodes == ("b0.c1", "b0.r1", "b0.c2", "b0.add", "b0.out")
    assert found[0].macs == 2 * 2 * 64 * 8 * 8 * 9
    assert [skip.where for skip in refused] == ["down.add"]
    assert "no identity" in refused[0].reason


def test_halves_of_transformer_layers_are_blocks():
    model = transformer()
    found, refused = blocks(model, {"x": (2, 6, 16)})
    assert names(found) == ["l0.mid", "l0.out", "l1.mid", "l1.out"]
    assert refused == ()
    shorter = without(model, found[2:])
    assert largest_difference(model, shorter) > 0
    kept = {node.name for node in shorter.ir.graph}
    assert not any(name.startswith("l1") for name in kept)
    assert not any(name.startswith("l1") for name in shorter.ir.graph.initializers)


def test_inverted_residuals_are_blocks():
    net = Net()
    x = net.put("HardSwish", [net.conv("x", "stem", 3, 6)], "stem.out")
    model = net.model(IMAGE, inverted(net, inverted(net, x, "i0"), "i1"))
    found, refused = blocks(model, SHAPES)
    assert [(b.entry, b.exit) for b in found] == [("stem.out", "i0.out"), ("i0.out", "i1.out")]
    assert refused == ()


def test_pre_activation_keeps_the_activation_of_others():
    net = Net()
    x = net.conv("x", "stem", 3, 8)
    for name in ("b0", "b1"):
        h = net.conv(net.put("Relu", [x], f"{name}.r"), f"{name}.c", 8, 8)
        x = net.put("Add", [x, h], f"{name}.out")
    model = net.model(IMAGE, net.put("Relu", [x], "y"))
    found, _ = blocks(model, SHAPES)
    assert [(b.entry, b.exit) for b in found] == [("stem", "b0.out"), ("b0.out", "b1.out")]
    assert [node.name for node in without(model, found).ir.graph] == ["stem", "y"]


def test_another_activation_after_the_add_stays():
    net = Net()
    x = net.put("HardSwish", [net.conv("x", "stem", 3, 8)], "stem.out")
    h = net.put("Add", [x, net.conv(x, "c", 8, 8)], "add")
    model = net.model(IMAGE, net.put("HardSwish", [h], "y"))
    (block,), _ = blocks(model, SHAPES)
    assert block.exit == "add"
    assert [node.name for node in without(model, [block]).ir.graph] == ["stem", "stem.out", "y"]


@pytest.mark.parametrize(("low", "high", "inside"), [(0, 6, True), (0, 4, False)])
def test_a_clip_goes_with_the_block_where_it_would_change_nothing(low, high, inside):
    net = Net()
    net.weights |= {"zero": np.float32(0), "six": np.float32(6)}
    net.weights |= {"low": np.float32(low), "high": np.float32(high)}
    x = net.put("Clip", [net.conv("x", "stem", 3, 8), "zero", "six"], "stem.out")
    h = net.put("Add", [x, net.conv(x, "c", 8, 8)], "add")
    h = net.put("Clip", [h, "low", "high"], "clip")
    model = net.model(IMAGE, net.conv(h, "y", 8, 4))
    (block,), _ = blocks(model, SHAPES)
    assert block.exit == ("clip" if inside else "add")


def test_a_branch_that_is_read_elsewhere_is_refused():
    net = Net()
    x = net.conv("x", "stem", 3, 8)
    inner = net.conv(x, "c1", 8, 8)
    x = net.put("Add", [x, net.conv(inner, "c2", 8, 8)], "add")
    model = net.model(IMAGE, x, net.put("Sigmoid", [inner], "side"))
    found, (refused,) = blocks(model, SHAPES)
    assert found == ()
    assert (refused.where, refused.reason) == ("add", "inside its branch c1 is read by side, too")


def test_a_branch_that_is_an_output_is_refused():
    net = Net()
    x = net.conv("x", "stem", 3, 8)
    inner = net.conv(x, "c1", 8, 8)
    model = net.model(IMAGE, net.put("Add", [x, net.conv(inner, "c2", 8, 8)], "add"), "c1")
    found, (refused,) = blocks(model, SHAPES)
    assert found == ()
    assert refused.reason == "inside its branch c1 is read by the model's user, too"


def test_a_broadcast_skip_is_refused():
    net = Net()
    x = net.conv(net.put("GlobalAveragePool", ["x"], "pool"), "stem", 3, 8, 1)
    net.weights["sizes"] = np.array([1, 8, 4, 4], "i8")
    h = net.put("Expand", [net.conv(x, "c", 8, 8, 1), "sizes"], "wide")
    model = net.model(IMAGE, net.put("Add", [x, h], "add"))
    found, (refused,) = blocks(model, SHAPES)
    assert found == ()
    assert "stem is broadcast" in refused.reason


def test_values_from_elsewhere_may_enter_a_branch():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    gate = net.put("Sigmoid", ["mask"], "gate")
    for name in ("b0", "b1"):
        h = net.put("Mul", [net.linear(x, f"{name}.l", 16, 16), gate], f"{name}.m")
        x = net.put("Add", [x, h], f"{name}.out")
    model = net.model(WORDS, x, inputs=[("mask", ["N", 6, 1])])
    found, refused = blocks(model, {"x": (2, 6, 16), "mask": (2, 6, 1)})
    assert names(found) == ["b0.out", "b1.out"]
    assert refused == ()


def test_a_mask_that_layers_share_is_no_skip():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    for name in ("b0", "b1"):
        q, k = (net.linear(x, f"{name}.{part}", 16, 16) for part in "qk")
        k = net.put("Transpose", [k], f"{name}.kt", perm=[0, 2, 1])
        scores = net.put("Add", [net.put("MatMul", [q, k], f"{name}.qk"), "mask"], f"{name}.s")
        h = net.put("MatMul", [net.put("Softmax", [scores], f"{name}.p"), x], f"{name}.mix")
        x = net.put("Add", [x, net.linear(h, f"{name}.o", 16, 16)], f"{name}.out")
    model = net.model(WORDS, x, inputs=[("mask", ["N", 1, 6])])
    found, refused = blocks(model, {"x": (2, 6, 16), "mask": (2, 1, 6)})
    assert names(found) == ["b0.out", "b1.out"]
    assert refused == ()


def test_every_reader_of_a_branch_is_named():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    parts = ["left", "right"]
    net.nodes.append(
        helper.make_node("Split", [net.linear(x, "wide", 16, 32)], parts, "split", axis=-1)
    )
    h = net.put("Mul", ["left", net.put("Sigmoid", ["right"], "gate")], "gated")
    x = net.put("Add", [x, net.linear(h, "narrow", 16, 16)], "add")
    model = net.model(WORDS, x, net.put("Neg", ["right"], "side"))
    found, (refused,) = blocks(model, {"x": (2, 6, 16)})
    assert found == ()
    assert refused.reason.endswith("is read by side, too")


def test_a_branch_with_a_graph_of_its_own_is_refused():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    inner = helper.make_graph(
        [helper.make_node("Neg", [x], ["negative"])],
        "inner",
        [],
        [helper.make_tensor_value_info("negative", TensorProto.FLOAT, None)],
    )
    net.weights["yes"] = np.array(True)
    h = net.put("If", ["yes"], "choice", then_branch=inner, else_branch=inner)
    model = net.model(WORDS, net.put("Add", [x, net.linear(h, "c", 16, 16)], "add"))
    found, (refused,) = blocks(model, {"x": (2, 6, 16)})
    assert found == ()
    assert refused.reason == "its branch holds choice (If), which has a graph of its own"


def test_branches_side_by_side_are_blocks():
    net = Net()
    x = net.linear("x", "embed", 16, 16)
    one = net.put("Add", [x, net.linear(x, "attention", 16, 16)], "one")
    model = net.model(WORDS, net.put("Add", [one, net.linear(x, "mlp", 16, 16)], "two"))
    found, _ = blocks(model, {"x": (2, 6, 16)})
    assert [(b.entry, b.exit) for b in found] == [("embed", "one"), ("one", "two")]
    for some in (found, found[:1], found[1:]):
        assert without(model, some).outputs[0].name == "two"
    assert twins(model, found[:1]) == {}


def test_a_part_of_a_split_may_run_around_a_branch():
    net = Net()
    x = net.conv("x", "stem", 3, 16)
    net.nodes.append(helper.make_node("Split", [x], ["left", "right"], "split", axis=1))
    h = net.put("Add", ["right", net.conv("right", "c", 8, 8)], "add")
    h = net.put("Concat", ["left", "right", h], "joined", axis=1)
    model = net.model(IMAGE, net.conv(h, "y", 24, 4))
    (block,), refused = blocks(model, SHAPES)
    assert (block.entry, block.exit, refused) == ("right", "add", ())
    assert largest_difference(model, without(model, [block])) > 0


def test_blocks_within_blocks():
    net = Net()
    x = net.conv("x", "stem", 3, 8)
    h = net.conv(x, "in", 8, 8)
    h = net.put("Add", [h, net.conv(h, "inner", 8, 8)], "inner.out")
    x = net.put("Add", [x, net.conv(h, "back", 8, 8)], "outer.out")
    model = net.model(IMAGE, net.conv(x, "y", 8, 4))
    inner, outer = blocks(model, SHAPES)[0]
    assert set(inner.nodes) < set(outer.nodes)
    alone = [node.name for node in without(model, [outer]).ir.graph]
    assert alone == ["stem", "y"]
    assert [node.name for node in without(model, [outer, inner]).ir.graph] == alone


def test_a_gelu_is_no_block():
    net = Net()
    net.weights |= {"c": np.float32(0.044715)}
    x = net.linear("x", "embed", 16, 16)
    cube = net.put("Mul", [net.put("Mul", [x, x], "square"), x], "cube")
    h = net.put("Add", [x, net.put("Mul", [cube, "c"], "scaled")], "add")
    assert blocks(net.model(WORDS, h), {"x": (2, 6, 16)}) == ((), ())


def test_a_block_whose_last_weight_is_zero_goes_without_trace():
    model = post_activation(zero=True)
    found, _ = blocks(model, SHAPES)
    zeros = [block for block in found if block.name in {"b1.add", "b2.add"}]
    shorter = without(model, zeros)
    assert largest_difference(model, shorter) == 0
    before, after = (costs(one, SHAPES).macs for one in (model, shorter))
    assert before - after == sum(block.macs for block in zeros)
    assert not any(name.startswith(("b1", "b2")) for name in shorter.ir.graph.initializers)
    assert len(model.ir.graph) > len(shorter.ir.graph)


def test_outputs_keep_their_names_where_a_block_ends_in_one():
    net = Net()
    x = net.put("Relu", [net.conv("x", "stem", 3, 8)], "first")
    x = basic(net, basic(net, x, "b0", zero=True), "b1", zero=True)
    model = net.model(IMAGE, x, "b0.out", "first")
    found, _ = blocks(model, SHAPES)
    for removed in (found, found[::-1], found[1:], found[:1]):
        shorter = without(model, removed)
        assert [spec.name for spec in shorter.outputs] == ["b1.out", "b0.out", "first"]
        assert largest_difference(model, shorter) == 0


def test_what_is_left_stands_for_the_end_of_the_row():
    model = post_activation()
    b0, b1, b2 = blocks(model, SHAPES)[0]
    assert twins(model, [b1]) == {"b0.add": "b1.add"}
    assert twins(model, [b1, b0]) == {"stem": "b1.add"}
    assert twins(model, [b2, b0]) == {"down.add": "b2.add", "stem": "b0.add"}
    words = transformer()
    found = blocks(words, {"x": (2, 6, 16)})[0]
    assert twins(words, found[1:3]) == {"l0.mid": "l1.mid"}


def test_what_others_read_stands_for_itself():
    net = Net()
    x = net.conv("x", "stem", 3, 8)
    first = net.put("Add", [x, net.conv(x, "c0", 8, 8)], "b0")
    last = net.put("Add", [first, net.conv(first, "c1", 8, 8)], "b1")
    model = net.model(IMAGE, net.conv(last, "y", 8, 4), net.put("Sigmoid", [first], "side"))
    b0, b1 = blocks(model, SHAPES)[0]
    assert twins(model, [b1]) == {}
    assert twins(model, [b0, b1]) == {"stem": "b0"}


def test_another_activation_before_the_row_leaves_no_target():
    net = Net()
    x = net.put("HardSwish", [net.conv("x", "stem", 3, 8)], "stem.out")
    pooled = net.put("MaxPool", [net.put("Relu", [x], "relu")], "pool", kernel_shape=[2, 2])
    model = net.model(IMAGE, basic(net, pooled, "b0"))
    (block,), _ = blocks(model, SHAPES)
    assert block.exit == "b0.out"
    assert twins(model, [block]) == {}
