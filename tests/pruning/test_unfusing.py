"""Fused projections are parted: same outputs, and every part with a width of its own."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.graph.equality import largest_difference
from edgekit.pruning.analysis import couple
from edgekit.pruning.unfusing import unfused

HEADS, WIDTH, SEQUENCE, CHANNELS = 3, 4, 5, 10
INNER = HEADS * WIDTH
SHAPES = {"x": (2, SEQUENCE, CHANNELS)}
node = helper.make_node

# layout: target of the Reshape, perm of the Transpose, axis that is selected, perm per part
LAYOUTS = {
    "3HD": ([0, 0, 3, HEADS, WIDTH], (2, 0, 3, 1, 4), 0, None),
    "H3D": ([0, 0, HEADS, 3, WIDTH], (3, 0, 2, 1, 4), 0, None),
    "HD3": ([0, 0, HEADS, WIDTH, 3], (4, 0, 2, 1, 3), 0, None),
    "3HD selected first": ([0, 0, 3, HEADS, WIDTH], None, 2, (0, 2, 1, 3)),
    "3HD fixed positions": ([-1, SEQUENCE, 3, HEADS, WIDTH], (2, 0, 3, 1, 4), 0, None),
}


def selecting(how, source, axis, rank):
    """Nodes that take the three parts of `source` along `axis`, as q, k, v; and constants."""
    if how == "gather":
        parts = [node("Gather", [source, f"i{i}"], ["qkv"[i]], axis=axis) for i in range(3)]
        return parts, {f"i{i}": np.array(i) for i in range(3)}
    if how == "split":
        names = ["q1", "k1", "v1"]
        squeezes = [node("Squeeze", [name, "axis"], [name[0]]) for name in names]
        split = node("Split", [source, "ones"], names, axis=axis)
        return [split, *squeezes], {"axis": np.array([axis]), "ones": np.array([1, 1, 1])}
    nodes, constants = [], {"axis": np.array([axis])}
    for i, name in enumerate("qkv"):
        constants |= {f"from{i}": np.array([i]), f"to{i}": np.array([i + 1])}
        nodes += [
            node("Slice", [source, f"from{i}", f"to{i}", "axis"], [f"{name}1"]),
            node("Squeeze", [f"{name}1", "axis"], [name]),
        ]
    return nodes, constants


def model_of(nodes, constants, tmp_path, *, bias=True, gemm=False):
    """x -> fused projection `qkv_out` -> nodes that make q, k, v [N, H, T, D] -> attention."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((CHANNELS, 3 * INNER)),
        "b": rng.standard_normal(3 * INNER),
        "wo": rng.standard_normal((INNER, CHANNELS)),
        "half": np.array(0.5),
        "joined": np.array([0, 0, INNER]),
        **constants,
    }
    first = [node("MatMul", ["x", "w"], ["product" if bias else "qkv_out"], "qkv")]
    if gemm:
        constants |= {"rows": np.array([-1, CHANNELS]), "back": np.array([-1, SEQUENCE, 3 * INNER])}
        first = [
            node("Reshape", ["x", "rows"], ["flat"]),
            node("Gemm", ["flat", "w", "b"], ["product"], "qkv"),
            node("Reshape", ["product", "back"], ["qkv_out"]),
        ]
    elif bias:
        first.append(node("Add", ["product", "b"], ["qkv_out"]))
    last = [
        node("Transpose", ["k"], ["kt"], perm=(0, 1, 3, 2)),
        node("MatMul", ["q", "kt"], ["scores"], "scores"),
        node("Mul", ["scores", "half"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["context"], "context"),
        node("Transpose", ["context"], ["turned"], perm=(0, 2, 1, 3)),
        node("Reshape", ["turned", "joined"], ["together"]),
        node("MatMul", ["together", "wo"], ["y"], "out"),
    ]
    return loaded([*first, *nodes, *last], constants, tmp_path)


def loaded(nodes, constants, tmp_path):
    weights = [
        numpy_helper.from_array(
            np.asarray(array, "f4" if np.asarray(array).dtype.kind == "f" else "i8"), name
        )
        for name, array in constants.items()
    ]
    value = helper.make_tensor_value_info
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "attention",
            [value("x", TensorProto.FLOAT, ["N", "T", CHANNELS])],
            [value("y", TensorProto.FLOAT, ["N", "T", "C"])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    file = tmp_path / "model.onnx"
    onnx.save(proto, file)
    return graph.load(file)


def fused(layout, how, tmp_path, **options):
    target, perm, axis, later = LAYOUTS[layout]
    nodes = [node("Reshape", ["qkv_out", "target"], ["parted"])]
    source = "parted"
    if perm is not None:
        nodes.append(node("Transpose", ["parted"], ["moved"], perm=perm))
        source = "moved"
    chosen, constants = selecting(how, source, axis, 5)
    if later is not None:
        for one in chosen:
            renamed = [f"{name}0" if name in {"q", "k", "v"} else name for name in one.output]
            del one.output[:]
            one.output.extend(renamed)
        chosen += [node("Transpose", [f"{name}0"], [name], perm=later) for name in "qkv"]
    constants["target"] = np.array(target)
    return model_of([*nodes, *chosen], constants, tmp_path, **options)


@pytest.mark.parametrize(
    ("layout", "how"),
    [
        ("3HD", "gather"),
        ("H3D", "split"),
        ("HD3", "slice"),
        ("3HD selected first", "split"),
        ("3HD fixed positions", "gather"),
    ],
)
def test_parts_get_products_of_their_own(layout, how, tmp_path):
    model = fused(layout, how, tmp_path)
    before = model.ir.graph.num_nodes()
    result, changed, skipped = unfused(model, SHAPES)
    assert (changed, skipped) == (("qkv",), ())
    assert model.ir.graph.num_nodes() == before
    assert largest_difference(model, result, SHAPES) <= 1e-5
    if layout == "H3D":
        assert largest_difference(model, result, {"x": (1, 9, CHANNELS)}) <= 1e-5
    kinds = [node.op_type for node in result.ir.graph]
    assert not {"Gather", "Split", "Slice", "Squeeze"} & set(kinds)
    assert kinds.count("MatMul") == 6


def test_windows_are_parted(tmp_path):
    """[N, T, 3E] -> [N, windows, 2, 3, H, D] -> [3, N, H, 2, windows, D] -> Gather, as in Hiera."""
    nodes = [
        node("Reshape", ["qkv_out", "target"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=(3, 0, 4, 2, 1, 5)),
        *(node("Gather", ["t", f"i{i}"], [f"g{i}"], axis=0) for i in range(3)),
        *(node("Reshape", [f"g{i}", "back"], ["qkv"[i]]) for i in range(3)),
    ]
    constants = {f"i{i}": np.array(i) for i in range(3)}
    constants["target"] = np.array([0, -1, 2, 3, HEADS, WIDTH])
    constants["back"] = np.array([0, HEADS, -1, WIDTH])
    model = model_of(nodes, constants, tmp_path)
    shapes = {"x": (2, 6, CHANNELS)}
    result, changed, skipped = unfused(model, shapes)
    assert (changed, skipped) == (("qkv",), ())
    assert largest_difference(model, result, {"x": (3, 8, CHANNELS)}) <= 1e-5


@pytest.mark.parametrize("options", [{"bias": False}, {"gemm": True}])
def test_a_product_without_bias_and_a_gemm_are_parted_too(options, tmp_path):
    model = fused("3HD", "gather", tmp_path, **options)
    result, changed, skipped = unfused(model, SHAPES)
    assert (changed, skipped) == (("qkv",), ())
    assert largest_difference(model, result, SHAPES) <= 1e-5


def test_queries_with_keys_and_values_become_groups_of_their_own(tmp_path):
    result, _, _ = unfused(fused("H3D", "split", tmp_path), SHAPES)
    free = [group for group in couple(result, SHAPES).groups if group.pinned_by is None]
    assert [(len(group.channels), group.width) for group in free] == [(WIDTH, HEADS)] * 2
    assert [len(group.producers) for group in free] == [2, 1]


def last_axis_split(tmp_path):
    nodes = [node("Split", ["qkv_out", "sizes"], ["q2", "k2", "v2"], axis=-1)]
    for name in "qkv":
        nodes += [
            node("Reshape", [f"{name}2", "heads"], [f"{name}1"]),
            node("Transpose", [f"{name}1"], [name], perm=(0, 2, 1, 3)),
        ]
    constants = {"sizes": np.array([INNER] * 3), "heads": np.array([0, 0, HEADS, WIDTH])}
    return model_of(nodes, constants, tmp_path)


def test_parts_that_are_split_from_the_last_axis_for_attention_are_parted(tmp_path):
    model = last_axis_split(tmp_path)
    result, changed, _ = unfused(model, SHAPES)
    assert changed == ("qkv",)
    assert largest_difference(model, result, SHAPES) <= 1e-5
    assert unfused(result, SHAPES)[0] is result


def test_a_gated_unit_stays_as_it_is(tmp_path):
    nodes = [
        node("MatMul", ["x", "w"], ["m"], "up"),
        node("Split", ["m", "sizes"], ["a", "g"], axis=-1),
        node("Sigmoid", ["g"], ["s"]),
        node("Mul", ["a", "s"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((CHANNELS, 12)), "sizes": np.array([6, 6])}
    model = loaded(nodes, constants, tmp_path)
    assert unfused(model, SHAPES) == (model, (), ())


def test_heads_within_the_batch_axis_as_in_torch_are_parted(tmp_path):
    """[T, N, 3E] -> [T, N, 3, E] -> Unsqueeze, Transpose, Squeeze -> Gather -> [T, N*H, D]."""
    nodes = [
        node("Transpose", ["qkv_out"], ["time_first"], perm=(1, 0, 2)),
        node("Reshape", ["time_first", "three"], ["r"]),
        node("Unsqueeze", ["r", "zero"], ["u"]),
        node("Transpose", ["u"], ["t"], perm=(3, 1, 2, 0, 4)),
        node("Squeeze", ["t", "third"], ["s"]),
        *(node("Gather", ["s", f"i{i}"], [f"g{i}"], axis=0) for i in range(3)),
    ]
    for i, name in enumerate("qkv"):
        nodes += [
            node("Reshape", [f"g{i}", "split"], [f"{name}3"]),
            node("Transpose", [f"{name}3"], [f"{name}2"], perm=(1, 0, 2)),
            node("Reshape", [f"{name}2", "back"], [name]),
        ]
    constants = {
        "three": np.array([0, 0, 3, INNER]),
        "zero": np.array([0]),
        "third": np.array([3]),
        "split": np.array([SEQUENCE, -1, WIDTH]),
        "back": np.array([-1, HEADS, SEQUENCE, WIDTH]),
        **{f"i{i}": np.array(i) for i in range(3)},
    }
    model = model_of(nodes, constants, tmp_path)
    result, changed, skipped = unfused(model, SHAPES)
    assert (changed, skipped) == (("qkv",), ())
    assert largest_difference(model, result, SHAPES) <= 1e-5


def test_a_part_that_is_left_out_is_told(tmp_path):
    model = fused("3HD", "gather", tmp_path)
    for gather in [n for n in model.ir.graph if n.op_type == "Gather"][2:]:
        gather.replace_input_with(1, model.ir.graph.initializers["i0"])
    result, changed, skipped = unfused(model, SHAPES)
    assert result is model
    assert not changed
    assert [skip.reason for skip in skipped] == ["its parts overlap or leave columns out"]


def test_a_shared_weight_is_told(tmp_path):
    model = fused("3HD", "gather", tmp_path)
    first = model.ir.graph.node("qkv")
    extra = ir.node("MatMul", list(first.inputs), name="again")
    extra.outputs[0].name = "second"
    model.ir.graph.append(extra)
    model.ir.graph.outputs.append(extra.outputs[0])
    result, changed, skipped = unfused(model, SHAPES)
    assert (result is model, changed) == (True, ())
    assert [skip.reason for skip in skipped] == ["its weight is used elsewhere, too"]
