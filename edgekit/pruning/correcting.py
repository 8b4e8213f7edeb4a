"""Correct what nodes say of channel counts after channels have gone: a function an operator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.errors import ModelError
from edgekit.graph.surgery import constant_of
from edgekit.pruning.coupling import Ids
from edgekit.pruning.cutting import Change, Cut

_INPUT_FORM = 13
"""The operator set from which Split's sizes and Squeeze's axes are inputs."""


def correct(cut: Cut, node: ir.Node) -> None:
    """Correct in place what a node of the main graph says of its channels.

    Args:
        cut: what goes; initializers are still whole.
        node: of any operator; one that says nothing of channels stays as it is.

    Raises:
        ModelError: what stays cannot be said to this operator. The analysis rules that out.
    """
    if node.domain in {"", "ai.onnx"} and node.op_type in _CORRECTIONS:
        _CORRECTIONS[node.op_type](cut, node)


def _reshape(cut: Cut, node: ir.Node) -> None:
    """Reshape: -1 stays, 0 stays where it still copies the right length."""
    data, target = _operand(node, 0), _operand(node, 1)
    (output,) = node.outputs
    changes = cut.shortened(output)
    numbers = constant_of(target)
    if numbers is not None:
        copies = not node.attributes.get_int("allowzero", 0)
        for axis, number in enumerate(numbers.tolist()):
            if number == -1:
                changes.pop(axis, None)
            elif number == 0 and copies:
                length = cut.length(output, axis)
                if length == cut.length(data, axis):
                    changes.pop(axis, None)
                else:
                    changes[axis] = Change(cut.shape(output)[axis], length)
    cut.tell_lengths(node, 1, changes, "shape")


def _expand(cut: Cut, node: ir.Node) -> None:
    """Expand: the target is aligned to the right; a 1 leaves the length to the data."""
    target, output = _operand(node, 1), node.outputs[0]
    numbers = constant_of(target)
    first = len(cut.shape(output)) - cut.shape(target)[0]
    changes = {
        axis - first: change
        for axis, change in cut.shortened(output).items()
        if axis >= first and (numbers is None or numbers[axis - first] != 1)
    }
    cut.tell_lengths(node, 1, changes, "shape")


def _resize(cut: Cut, node: ir.Node) -> None:
    """Resize by sizes; scales hold for any length."""
    if len(node.inputs) < 4 or node.inputs[3] is None:  # noqa: PLR2004  # the fourth: sizes
        return
    output = node.outputs[0]
    rank = len(cut.shape(output))
    axes = [axis % rank for axis in node.attributes.get_ints("axes", None) or range(rank)]
    changes = cut.shortened(output)
    cut.tell_lengths(
        node, 3, {axes.index(axis): changes[axis] for axis in changes if axis in axes}, "sizes"
    )


def _shape(cut: Cut, node: ir.Node) -> None:
    """Shape: arithmetic on it was written for the old lengths, so it goes on to say those."""
    data, output = _operand(node, 0), node.outputs[0]
    shape = cut.shape(data)
    said = range(len(shape))[
        node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(shape))
    ]
    changes = {
        said.index(axis): Change(change.after, change.before)
        for axis, change in cut.shortened(data).items()
        if axis in said
    }
    if not changes:
        return
    nodes = cut.scaled(output, changes, 1, f"{node.name}.before")
    (told,) = nodes[-1].outputs
    output.replace_all_uses_with(told, replace_graph_outputs=True)
    nodes[0].replace_input_with(0, output)
    output.name, told.name = told.name, output.name
    _graph(node).insert_after(node, nodes)


def _slice(cut: Cut, node: ir.Node) -> None:
    """Slice: each axis that loses positions is cut where the ones that stay begin and end.

    Steps are positive: others pin their channels.
    """
    data = _operand(node, 0)
    rank = len(cut.shape(data))
    shortened = cut.shortened(data)
    if not shortened:
        return
    (count,) = cut.shape(_operand(node, 1))
    given = range(count) if _absent(node, 3) else _numbers(node, 3).tolist()
    places = {axis % rank: place for place, axis in enumerate(given)}
    cut_here = [axis for axis in shortened if axis in places]
    if not cut_here:
        return
    starts, ends = (_numbers(node, index).copy() for index in (1, 2))
    steps = np.ones_like(starts) if _absent(node, 4) else _numbers(node, 4).copy()
    for axis in cut_here:
        kept = cut.kept(data, axis)
        if kept is None:
            continue
        place, length = places[axis], cut.shape(data)[axis]
        start, end, step = (int(part[place]) for part in (starts, ends, steps))
        taken = np.arange(length)[start:end:step]
        new = np.searchsorted(kept, taken[np.isin(taken, kept)])
        starts[place], ends[place], steps[place] = _progression(node, new)
    cut.tell(node, 1, starts, "starts")
    cut.tell(node, 2, ends, "ends")
    if not _absent(node, 4):
        cut.tell(node, 4, steps, "steps")


def _progression(node: ir.Node, positions: Ids) -> tuple[int, int, int]:
    """Return start, end and step of regular positions."""
    if not len(positions):
        raise ModelError("no channel would stay", where=node.name or "")
    steps = np.unique(np.diff(positions))
    if len(steps) > 1:
        raise ModelError("what stays is no regular slice", where=node.name or "")
    return int(positions[0]), int(positions[-1]) + 1, int(steps[0]) if len(steps) else 1


def _split(cut: Cut, node: ir.Node) -> None:
    """Split: its sizes are written out, as an input or, in old operator sets, an attribute."""
    data = _operand(node, 0)
    shape = cut.shape(data)
    axis = node.attributes.get_int("axis", 0) % len(shape)
    kept = cut.kept(data, axis)
    if kept is None:
        return
    edges = np.cumsum(_split_sizes(node, shape[axis]))
    sizes = np.bincount(np.searchsorted(edges, kept, side="right"), minlength=len(edges))
    if cut.opset >= _INPUT_FORM:
        node.attributes.pop("num_outputs", None)
        cut.tell(node, 1, sizes.astype(np.int64), "split")
    else:
        node.attributes["split"] = ir.AttrInt64s("split", sizes.tolist())


def _split_sizes(node: ir.Node, length: int) -> list[int]:
    """Return the sizes that were given, else equal ones of which the last may be smaller."""
    given = node.attributes.get_ints("split", None)
    if given is not None:
        return list(given)
    if not _absent(node, 1):
        return [int(size) for size in _numbers(node, 1)]
    count = len(node.outputs)
    size = -(-length // count)
    return [size] * (count - 1) + [length - size * (count - 1)]


def _gather(cut: Cut, node: ir.Node) -> None:
    """Gather: constant indices name the positions that stay by their new place."""
    data, output = _operand(node, 0), node.outputs[0]
    shape = cut.shape(data)
    axis = node.attributes.get_int("axis", 0) % len(shape)
    kept = cut.kept(data, axis)
    if kept is None:
        return
    indices = _numbers(node, 1)
    for place in range(indices.ndim):
        stays = cut.kept(output, axis + place)
        if stays is not None:
            indices = np.take(indices, stays, place)
    indices = np.where(indices < 0, indices + shape[axis], indices)
    if not np.isin(indices, kept).all():
        raise ModelError("takes a channel that does not stay", where=node.name or "")
    cut.tell(node, 1, np.searchsorted(kept, indices).astype(indices.dtype), "indices")


def _convolution(cut: Cut, node: ir.Node) -> None:
    """Conv: data is [N, in, ...], the weight [out, in / group, ...]."""
    _set_group(node, cut.length(_operand(node, 0), 1), cut.length(_operand(node, 1), 1))


def _transposed_convolution(cut: Cut, node: ir.Node) -> None:
    """ConvTranspose: the output is [N, out, ...], the weight [in, out / group, ...]."""
    _set_group(node, cut.length(node.outputs[0], 1), cut.length(_operand(node, 1), 1))


def _set_group(node: ir.Node, channels: int, width: int) -> None:
    """Set `group` when whole groups have gone; it stays when each has become narrower."""
    if channels % width:
        raise ModelError(
            "groups would differ in width", where=node.name or "", found=f"{channels} by {width}"
        )
    if channels // width != node.attributes.get_int("group", 1):
        node.attributes["group"] = ir.AttrInt64("group", channels // width)


def _recurrent(cut: Cut, node: ir.Node) -> None:
    """GRU, LSTM and RNN: R is [directions, gates * hidden, hidden]."""
    hidden = cut.shortened(_operand(node, 2)).get(2)
    if hidden is not None:
        node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", hidden.after)


def _squeeze(cut: Cut, node: ir.Node) -> None:
    """Squeeze without axes: an axis of which one position stays must not go."""
    data = _operand(node, 0)
    if (
        not _absent(node, 1)
        or "axes" in node.attributes
        or all(change.after > 1 for change in cut.shortened(data).values())
    ):
        return
    axes = [axis for axis, length in enumerate(cut.shape(data)) if length == 1]
    if cut.opset >= _INPUT_FORM:
        cut.tell(node, 1, np.array(axes, np.int64), "axes")
    else:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)


def _operand(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise ModelError("lacks an operand", where=node.name or "")
    return value


def _absent(node: ir.Node, index: int) -> bool:
    return len(node.inputs) <= index or node.inputs[index] is None


def _numbers(node: ir.Node, index: int) -> npt.NDArray[np.int64]:
    numbers = constant_of(_operand(node, index))
    if numbers is None:
        raise ModelError("has a computed parameter", where=node.name or "")
    return numbers


def _graph(node: ir.Node) -> ir.Graph:
    graph = node.graph
    assert isinstance(graph, ir.Graph)  # noqa: S101  # nodes of functions are not edited
    return graph


_CORRECTIONS: dict[str, Callable[[Cut, ir.Node], None]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Expand": _expand,
    "GRU": _recurrent,
    "Gather": _gather,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
}
