"""Turned heads answer as before, and their last components can go with the least loss."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph, native
from edgekit.activations import outputs_of
from edgekit.dataset import open_data
from edgekit.graph.equality import largest_difference
from edgekit.pruning.analysis import couple
from edgekit.pruning.attention import rotated
from edgekit.pruning.surgery import removed

HEADS, WIDTH, LENGTH, CHANNELS = 2, 6, 5, 8
INNER = HEADS * WIDTH
node = helper.make_node


def part(name, source, *, bias=True, weight=None):
    """Nodes that make [N, H, T, D] of a projection."""
    weight = weight or f"w{name}"
    first = [node("MatMul", [source, weight], [f"{name}0"], f"{name}_proj")]
    if bias:
        first.append(node("Add", [f"b{name}", f"{name}0"], [f"{name}1"]))
    return [
        *first,
        node("Reshape", [f"{name}{int(bias)}", "heads"], [f"{name}2"]),
        node("Transpose", [f"{name}2"], [name], perm=(0, 2, 1, 3)),
    ]


def attention(*, memory="x", key_bias=True, masked=False, scaled="scores"):
    """Nodes from x (and `memory`) to y."""
    nodes = [*part("q", "x"), *part("k", memory, bias=key_bias), *part("v", memory)]
    query, scores = "q", "scores"
    if scaled == "query":
        nodes.append(node("Mul", ["q", "half"], ["q_scaled"]))
        query = "q_scaled"
    nodes += [
        node("Transpose", ["k"], ["kt"], perm=(0, 1, 3, 2)),
        node("MatMul", [query, "kt"], ["scores"], "scores"),
    ]
    if scaled == "scores":
        nodes.append(node("Div", ["scores", "two"], ["scores_scaled"]))
        scores = "scores_scaled"
    if masked:
        nodes.append(node("Add", [scores, "mask"], ["scores_masked"]))
        scores = "scores_masked"
    return [
        *nodes,
        node("Softmax", [scores], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["context"], "context"),
        node("Transpose", ["context"], ["turned"], perm=(0, 2, 1, 3)),
        node("Reshape", ["turned", "joined"], ["together"]),
        node("MatMul", ["together", "wo"], ["out"], "out"),
        node("Add", ["out", "bo"], ["y"]),
    ]


def constants(rng, *, rank=WIDTH, **others):
    """Weights; those of queries, keys and values have `rank` in each head."""
    found = {"heads": np.array([0, 0, HEADS, WIDTH]), "joined": np.array([0, 0, INNER])}
    for name in "qkv":
        low = rng.standard_normal((HEADS, CHANNELS + 1, rank))
        whole = low @ rng.standard_normal((HEADS, rank, WIDTH))
        together = whole.transpose(1, 0, 2).reshape(CHANNELS + 1, INNER)
        found[f"w{name}"], found[f"b{name}"] = together[:-1] / 4, together[-1] / 4
    found["wo"], found["bo"] = rng.standard_normal((INNER, CHANNELS)), rng.standard_normal(CHANNELS)
    mask = np.triu(np.full((LENGTH, LENGTH), -1e9), 1)
    return found | {"half": np.array(0.5), "two": np.array([2.0]), "mask": mask} | others


@pytest.fixture
def opened(tmp_path):
    """Write nodes and constants to a file; return the model, data for it, and the folder."""

    def make(nodes, weights, inputs=("x",), *, kind="f4", mean=0.0, samples=12):
        used = {name for one in nodes for name in one.input}
        tensors = [
            numpy_helper.from_array(array.astype(kind if array.dtype.kind == "f" else "i8"), name)
            for name, array in weights.items()
            if name in used
        ]
        element = {"f4": TensorProto.FLOAT, "f2": TensorProto.FLOAT16}[kind]
        value = helper.make_tensor_value_info
        proto = helper.make_model(
            helper.make_graph(
                nodes,
                "attention",
                [value(name, element, ["N", LENGTH, CHANNELS]) for name in inputs],
                [value("y", element, ["N", None, None])],
                tensors,
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(proto, tmp_path / "model.onnx")
        model = graph.load(tmp_path / "model.onnx")
        rng = np.random.default_rng(5)
        shape = (samples, LENGTH, CHANNELS)
        arrays = {name: (rng.standard_normal(shape) + mean).astype(kind) for name in inputs}
        np.savez(tmp_path / "data.npz", **arrays)
        return model, open_data(tmp_path / "data.npz", model), tmp_path

    return make


def without(model, rotation, left):
    """The model without all but the first components of one rotation."""
    coupling = couple(model, {spec.name: (1, *spec.shape[1:]) for spec in model.inputs})
    keep = coupling.everything()
    channels = rotation.channels(coupling)
    for weight, axis, positions in rotation.places:
        assert (coupling.on(weight, axis)[positions] == channels).all()
    keep[channels[left:]] = False
    return removed(coupling, keep)


@pytest.mark.parametrize(
    ("form", "inputs"),
    [
        ({"masked": True}, ("x",)),
        ({"memory": "z", "key_bias": False, "scaled": "query"}, ("x", "z")),
    ],
)
def test_outputs_stay_and_names_too(form, inputs, opened):
    model, data, folder = opened(attention(**form), constants(np.random.default_rng(0)), inputs)
    names = set(model.ir.graph.initializers)
    result, rotations, skipped = rotated(model, data, folder)
    assert [(one.node, one.kind) for one in rotations] == [
        ("scores", "scores"),
        ("context", "context"),
    ]
    assert skipped == ()
    assert largest_difference(model, result) <= 1e-5
    assert set(result.ir.graph.initializers) == names
    before, after = (one.ir.graph.initializers["wq"].const_value.numpy() for one in (model, result))
    assert np.abs(before - after).max() > 0.1
    for one in rotations:
        assert one.energy.shape == (WIDTH,)
        assert (np.diff(one.energy) <= 0).all()
        assert all(positions.shape == (HEADS, WIDTH) for _, _, positions in one.places)


def test_what_has_no_energy_can_go_without_loss(opened):
    weights = constants(np.random.default_rng(1), rank=3)
    model, data, folder = opened(attention(), weights)
    result, rotations, _ = rotated(model, data, folder)
    for one in rotations:
        assert one.energy[3:].sum() <= 1e-5 * one.energy.sum()
    smaller = result
    for one in rotations:
        smaller = without(smaller, one, left=3)
    shapes = {n: tuple(v.shape) for n, v in smaller.ir.graph.initializers.items()}
    half = INNER // 2
    assert {n: shapes[n] for n in ("wq", "wk", "wv", "bq", "wo")} == {
        "wq": (CHANNELS, half),
        "wk": (CHANNELS, half),
        "wv": (CHANNELS, half),
        "bq": (half,),
        "wo": (half, CHANNELS),
    }
    assert largest_difference(model, smaller) <= 1e-3
    assert largest_difference(model, without(model, rotations[1], left=3)) > 0.05


def test_energy_is_what_the_output_loses(opened):
    model, data, folder = opened(attention(), constants(np.random.default_rng(2)), samples=64)
    result, (_, context), _ = rotated(model, data, folder)
    outputs = [run(one, folder, data) for one in (result, without(result, context, left=4))]
    lost = ((outputs[0] - outputs[1]) ** 2).sum(axis=-1).mean()
    # The heads' losses add up but for what they have in common.
    assert 0.5 < lost / context.energy[4:].sum() < 2


def run(model, folder, data):
    file = folder / "run.onnx"
    graph.save(model, file)
    found = native.call("running", outputs_of, file, list(data.samples()))
    return np.concatenate([outputs[0] for outputs in found])


def test_what_is_added_to_all_keys_does_not_count(opened):
    rng = np.random.default_rng(3)
    weights = constants(rng)
    energies = []
    for shift in (0.0, 5.0):
        weights["bk"] = weights["bk"] + shift
        model, data, folder = opened(attention(), weights)
        result, (scores, _), _ = rotated(model, data, folder)
        assert largest_difference(model, result) <= 1e-4
        energies.append(scores.energy)
    np.testing.assert_allclose(*energies, rtol=0.02, atol=1e-3 * energies[0].sum())


def replaced(nodes, output, *new):
    return [found for one in nodes for found in (new if output in one.output else [one])]


def rotary():
    nodes = attention(scaled="scores")
    return replaced(
        nodes,
        "q",
        node("Transpose", ["q2"], ["q_plain"], perm=(0, 2, 1, 3)),
        node("Mul", ["q_plain", "cos"], ["q"], "rotary"),
    )


def second_reader():
    return [
        *attention()[:-1],
        node("ReduceMean", ["v"], ["mean"], "watch", keepdims=1, axes=[1]),
        node("ReduceSum", ["mean", "all"], ["number"], keepdims=0),
        node("Add", ["out", "number"], ["y"]),
    ]


def activated():
    before = [node("Reshape", ["turned", "joined"], ["t"])]
    return replaced(attention(), "together", *before, node("Relu", ["t"], ["together"], "relu"))


def tied():
    others = [one for one in attention() if not {"k0", "k1", "k2", "k"} & set(one.output)]
    return [*part("k", "x", weight="wq"), *others]


@pytest.mark.parametrize(
    ("nodes", "where", "reason"),
    [
        (rotary(), "scores", "Mul rotary stands between"),
        (second_reader(), "context", "ReduceMean watch reads the same columns"),
        (activated(), "context", "Relu relu stands before the output projection"),
        (tied(), "scores", "weights are used elsewhere"),
    ],
)
def test_other_forms_are_left_alone_and_told(nodes, where, reason, opened):
    rng = np.random.default_rng(0)
    extra = {"cos": rng.standard_normal((LENGTH, WIDTH)), "all": np.array([0, 1, 2, 3])}
    model, data, folder = opened(nodes, constants(rng, **extra))
    result, rotations, skipped = rotated(model, data, folder)
    assert where not in {one.node for one in rotations}
    assert [skip.where for skip in skipped] == [where]
    assert reason in skipped[0].reason
    assert largest_difference(model, result) <= 1e-5


def test_grouped_queries_are_left_alone(opened):
    """One key and value head for all query heads, by Expand."""
    nodes = attention()
    shared = [
        node("MatMul", ["x", "w1"], ["k0"], "k_proj"),
        node("Unsqueeze", ["k0", "one"], ["k1"]),
        node("Expand", ["k1", "many"], ["k"]),
    ]
    nodes = [*shared, *(one for one in nodes if not set(one.output) & {"k0", "k1", "k2", "k"})]
    rng = np.random.default_rng(0)
    extra = {
        "w1": rng.standard_normal((CHANNELS, WIDTH)),
        "one": np.array([1]),
        "many": np.array([1, HEADS, 1, 1]),
    }
    model, data, folder = opened(nodes, constants(rng, **extra))
    _, rotations, skipped = rotated(model, data, folder)
    assert [one.kind for one in rotations] == ["context"]
    assert [skip.reason for skip in skipped] == [
        "heads share columns, as in grouped-query attention"
    ]


def test_heads_that_are_dead_do_no_harm(opened):
    weights = constants(np.random.default_rng(4), rank=2)
    weights["wq"][:, :WIDTH] = weights["bq"][:WIDTH] = 0
    weights["wv"][:] = weights["bv"][:] = 0
    model, data, folder = opened(attention(), weights, mean=3.0)
    result, _, _ = rotated(model, data, folder)
    assert largest_difference(model, result) <= 1e-4


def test_half_precision_is_left_alone(opened):
    model, data, folder = opened(attention(), constants(np.random.default_rng(0)), kind="f2")
    result, rotations, skipped = rotated(model, data, folder)
    assert (result is model, rotations) == (True, ())
    assert len(skipped) == 2


def test_a_model_without_attention_is_returned_as_it_is(small_model, small_data, tmp_path):
    model = graph.load(small_model)
    data = open_data(small_data, model)
    assert rotated(model, data, tmp_path) == (model, (), ())
