"""How far channel pruning reaches in each model of some folders, and that it is exact there.

    python tools/zoo ZOO
    python tools/bench/reach.py ZOO [MODELS...]

For every model, with whole heads and with the width of heads as channels: a random half of each
group is removed, three times, and then all but one channel of each; what that leaves of the
multiply-adds is the smallest reachable share. Each time the smaller graph must equal the masked
one within 1e-5 at two batch sizes (if not, then in float64), pass strict shape inference, and cost
what was foretold. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit import graph
from edgekit import target as targets
from edgekit.errors import EdgekitError
from edgekit.graph.equality import largest_difference
from edgekit.passes import Context
from edgekit.passes.simplify import Simplify
from edgekit.pruning.analysis import couple
from edgekit.pruning.budget import macs_left
from edgekit.pruning.coupling import Coupling, Keep
from edgekit.pruning.masking import masked
from edgekit.pruning.preparing import prepared
from edgekit.pruning.surgery import removed

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

TOLERANCE = 1e-5
KEEPS = 3
HALF = 0.5
_GUESSES = (48, 32, 64, 224, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What was found in one model, in one of the two views of heads.

    Attributes:
        groups, pinned: how many groups there are, and how many of them must stay.
        share: of the multiply-adds that must stay.
        difference: largest of all removals.
        pins: reasons with the number of groups that each pins, most first.
        failure: of a removal; None when all are exact.
    """

    groups: int
    pinned: int
    share: float
    difference: float
    pins: tuple[tuple[str, int], ...]
    failure: str | None = None


def main() -> None:
    """Print one row a model, then the totals and what does not reach half."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--only", default="", help="part of the file's name")
    arguments = parser.parse_args()
    print("| model | nodes | groups (pinned) | smallest share: heads, width | half | difference |")
    print("|---|---|---|---|---|---|")
    rows: dict[str, tuple[Reach, Reach]] = {}
    for folder in arguments.folders:
        for file in sorted(folder.glob("*.onnx")):
            if arguments.only not in file.name:
                continue
            try:
                rows[file.stem] = judge(file)
            except Exception as error:  # noqa: BLE001  # the table goes on
                traceback.print_exc()
                print(f"| {file.stem} | failed: {error!r:.200} |", flush=True)
    _conclude(rows)


def judge(file: Path) -> tuple[Reach, Reach]:
    """Return what is found with whole heads and with their width, and print the row."""
    model = graph.load(file)
    shapes = shapes_for(model, file)
    model = prepared(simplified(model, shapes))
    heads, width = (reach(couple(model, shapes, heads=way), shapes) for way in (True, False))
    half = "yes" if min(heads.share, width.share) <= HALF else "no"
    print(
        f"| {file.stem} | {len(model.ir.graph)} "
        f"| {heads.groups} ({heads.pinned}), {width.groups} ({width.pinned}) "
        f"| {heads.share:.0%}, {width.share:.0%} | {half} "
        f"| {max(heads.difference, width.difference):.0e} |",
        flush=True,
    )
    return heads, width


def reach(coupling: Coupling, shapes: dict[str, tuple[int, ...]]) -> Reach:
    """Return how far this coupling reaches, and whether removals are exact."""
    difference, failure, share = 0.0, None, 1.0
    dense_macs = max(1, graph.costs(coupling.model, shapes).macs)
    for keep in (*itertools.islice(keeps(coupling), KEEPS), smallest(coupling)):
        try:
            smaller = removed(coupling, keep)
            _check_strictly(coupling.model, smaller)
            left_macs = graph.costs(smaller, shapes).macs
            share = min(share, left_macs / dense_macs)
            _check_costs(coupling, keep, left_macs)
            oracle = masked(coupling, keep)
            found = largest_difference(oracle, smaller, shapes)
            if TOLERANCE < found < math.inf:
                found = difference_in_double(oracle, smaller, shapes)
        except (EdgekitError, onnx.shape_inference.InferenceError, RuntimeError) as error:
            found, failure = float("inf"), " ".join(str(error).split())[:300]
        difference = max(difference, found)
        if found > TOLERANCE and failure is None:
            failure = f"differs by {found:.1e}"
    pins = Counter(
        f"{group.pinned_by.reason} (as in {group.pinned_by.where})"
        for group in coupling.groups
        if group.pinned_by is not None
    )
    return Reach(
        groups=len(coupling.groups),
        pinned=pins.total(),
        share=share,
        difference=difference,
        pins=tuple(pins.most_common()),
        failure=failure,
    )


def difference_in_double(
    one: graph.Model, other: graph.Model, shapes: dict[str, tuple[int, ...]]
) -> float:
    """Return the largest relative difference in float64, which tells rounding from errors.

    Normalizations of few elements and steep softmaxes amplify the rounding of float32.
    """
    generator = np.random.default_rng(0)
    inputs = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    with np.errstate(all="ignore"):
        outputs = [ReferenceEvaluator(_in_double(m)).run(None, inputs) for m in (one, other)]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*outputs, strict=True))


def _in_double(model: graph.Model) -> onnx.ModelProto:
    proto = ir.to_proto(model.ir)
    attributes = [attribute for node in proto.graph.node for attribute in node.attribute]
    tensors = [attribute.t for attribute in attributes if attribute.HasField("t")]
    for tensor in (*proto.graph.initializer, *tensors):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for attribute in attributes:
        if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.DOUBLE
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    del proto.graph.value_info[:]
    return proto


def keeps(coupling: Coupling) -> Iterator[Keep]:
    """Yield flags that keep a random half of every group that may be pruned, without end."""
    generator = np.random.default_rng(0)
    while True:
        keep = coupling.everything()
        for group in coupling.groups:
            if group.pinned_by is None:
                lost = len(group.channels) // 2
                keep[generator.choice(group.channels, lost, replace=False)] = False
        yield coupling.spared(keep)


def smallest(coupling: Coupling) -> Keep:
    """Return flags that keep one channel of every group that may be pruned."""
    keep = coupling.everything()
    for group in coupling.groups:
        if group.pinned_by is None:
            keep[group.channels[1:]] = False
    return coupling.spared(keep)


def simplified(model: graph.Model, shapes: dict[str, tuple[int, ...]]) -> graph.Model:
    """Return what the pass `simplify` makes of a model."""
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            target=targets.load("x86"),
            data=None,
            latencies_of=lambda _models, _effort: None,
            workspace=Path(folder),
            shapes=shapes,
        )
        return Simplify().apply(model, context).model


def shapes_for(model: graph.Model, file: Path) -> dict[str, tuple[int, ...]]:
    """Return input shapes, batch 1: those that the zoo's index says, else some that run."""
    index = file.with_name("zoo.json")
    known = json.loads(index.read_text()) if index.exists() else []
    for one in known:
        if one["file"] == file.name:
            return {name: tuple(map(abs, shape)) for name, shape in one["inputs"].items()}
    for guess in _GUESSES:
        shapes = {
            spec.name: tuple(
                axis if isinstance(axis, int) else (guess if place else 1)
                for place, axis in enumerate(spec.shape or ())
            )
            for spec in model.inputs
        }
        try:
            graph.costs(model, shapes)
        except EdgekitError:
            continue
        return shapes
    raise EdgekitError("runs at none of the guessed shapes", where=file.name)


def _check_strictly(before: graph.Model, after: graph.Model) -> None:
    """Raise unless strict shape inference passes, or fails before any removal, too."""
    try:
        onnx.shape_inference.infer_shapes(ir.to_proto(after.ir), True, True, True)
    except onnx.shape_inference.InferenceError:
        onnx.shape_inference.infer_shapes(ir.to_proto(before.ir), True, True, True)
        raise


def _check_costs(coupling: Coupling, keep: Keep, found_macs: int) -> None:
    """Raise unless the smaller graph costs what a budget counts on."""
    foretold = macs_left(coupling, keep)
    if abs(foretold - found_macs) > 0.001 * found_macs:
        raise RuntimeError(f"{found_macs} multiply-adds are left, {foretold:.0f} were foretold")


def _conclude(rows: dict[str, tuple[Reach, Reach]]) -> None:
    exact = sum(all(way.failure is None for way in ways) for ways in rows.values())
    far = sum(min(way.share for way in ways) <= HALF for ways in rows.values())
    print(
        f"\n{exact} of {len(rows)} exact within {TOLERANCE:.0e}; {far} of {len(rows)} reach half."
    )
    print("\nNot exact:\n")
    for name, ways in rows.items():
        for view, way in zip(("heads", "width"), ways, strict=True):
            if way.failure:
                print(f"- {name}, {view}: {way.failure}")
    print("\nNot half, and what pins the most groups:\n")
    for name, ways in rows.items():
        best = min(ways, key=lambda way: way.share)
        if best.share > HALF:
            pins = "; ".join(f"{count} by {reason}" for reason, count in best.pins[:3])
            print(f"- {name}, {best.share:.0%}: {pins}")
    print("\nPins of all models:\n")
    everywhere: Counter[str] = Counter()
    for _, way in rows.values():
        for reason, count in way.pins:
            everywhere[reason.partition(" (as in")[0]] += count
    for reason, count in everywhere.most_common(25):
        print(f"- {count} groups: {reason}")


if __name__ == "__main__":
    main()
