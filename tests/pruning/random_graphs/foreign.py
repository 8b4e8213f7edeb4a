"""Bodies of control flow, and operators that nobody is expected to see through."""

from __future__ import annotations

from onnx import TensorProto, helper

from random_graphs.drawing import Drawing


def if_branches(g: Drawing) -> None:
    """Both branches read an outer value; one multiplies it with a weight of the main graph."""
    x = g.feature()
    total = g.reduce("ReduceSum", "x", range(len(g.features[0].shape) + 1), keepdims=0)
    condition = g.node("Greater", total, g.constant(0, "f4"))
    weight = g.weight(*_last(x.shape))
    branches = {}
    for branch, op_type in (("then_branch", "Add"), ("else_branch", "Mul")):
        out = g.name(branch)
        node = helper.make_node(op_type, [x.name, weight], [out], g.name(op_type))
        result = helper.make_tensor_value_info(out, TensorProto.FLOAT, ["N", *x.shape])
        branches[branch] = helper.make_graph([node], branch, [], [result])
    g.add(g.node("If", condition, **branches), *x.shape)


def loop(g: Drawing) -> None:
    """Adds an outer value to half of the state, twice."""
    x = g.feature()
    start = g.twin(x)
    count, go, state = (g.name(what) for what in ("count", "go", "state"))
    half, again, after = (g.name(what) for what in ("half", "again", "after"))
    nodes = [
        helper.make_node("Mul", [state, g.constant(0.5, "f4")], [half], g.name("Mul")),
        helper.make_node("Add", [half, x.name], [after], g.name("Add")),
        helper.make_node("Identity", [go], [again], g.name("Identity")),
    ]
    shape = ["N", *x.shape]
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info(count, TensorProto.INT64, []),
            helper.make_tensor_value_info(go, TensorProto.BOOL, []),
            helper.make_tensor_value_info(state, TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info(again, TensorProto.BOOL, []),
            helper.make_tensor_value_info(after, TensorProto.FLOAT, shape),
        ],
    )
    trips, always = g.constant(2), g.constant(True, "?")
    looped = g.node("Loop", trips, always, start, body=body)
    # To onnxruntime the state of a loop has no rank, and it takes a Shape of such to be empty.
    g.add(g.node("Reshape", looped, g.constant([0, *x.shape])), *x.shape)


def cumulative_sum(g: Drawing) -> None:
    x = g.feature()
    g.add(g.node("CumSum", x.name, g.constant(g.integer(1, len(x.shape)))), *x.shape)


def top_k(g: Drawing) -> None:
    """The largest two of each row, or of all channels."""
    x = g.feature()
    axis = g.integer(1, len(x.shape))
    count = min(2, x.shape[axis - 1])
    values, _ = g.nodes_of("TopK", [x.name, g.constant([count])], 2, axis=axis)
    g.add(values, *x.shape[: axis - 1], count, *x.shape[axis:])


def scatter(g: Drawing) -> None:
    """Overwrites the first sample."""
    x = g.feature()
    g.add(
        g.node("ScatterND", x.name, g.constant([[0]]), g.weight(1, *x.shape)),
        *x.shape,
    )


def response_normalization(g: Drawing) -> None:
    x = g.feature_map()
    g.add(g.node("LRN", x.name, size=3, alpha=0.1), *x.shape)


def unit_length(g: Drawing) -> None:
    x = g.feature()
    long = g.node("Add", g.node("Abs", x.name), g.constant(0.5, "f4"))
    g.add(g.node("LpNormalization", long, axis=x.axis), *x.shape)


def _last(shape: tuple[int, ...]) -> tuple[int]:
    return shape[-1:]  # type: ignore[return-value]
