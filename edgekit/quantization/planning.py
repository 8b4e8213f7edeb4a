"""From a graph and its calibration to a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.graph.surgery import constant_of
from edgekit.quantization.calibration import Calibration
from edgekit.quantization.observation import observed
from edgekit.quantization.plan import CONVOLUTIONS, WEIGHTED, QuantizationPlan, Unit
from edgekit.quantization.ranges import Method, Reach, ranges_of
from edgekit.quantization.units import units_of, weight_of


def observer_of(model: Model) -> tuple[Model, tuple[str, ...], Calibration]:
    """Return (a model that also yields what a plan needs, the names of that, what takes it).

    `edgekit.activations.stream` of the names into the empty calibration calibrates `model`, whose
    shapes should have been inferred.
    """
    units, _ = units_of(model.ir.graph)
    axes = {
        unit.inputs[0]: 1 if unit.kind in CONVOLUTIONS else -1
        for unit in units
        if unit.kind in WEIGHTED
    }
    values = values_of(model.ir.graph)
    tensors = tuple(
        name
        for name in dict.fromkeys(name for unit in units for name in unit.tensors)
        if values[name].dtype in (None, ir.DataType.FLOAT)
    )
    return *observed(model, tensors, axes), Calibration(tensors=tensors)


def plan_of(
    graph: ir.Graph,
    calibration: Calibration,
    *,
    method: Method = "auto",
    symmetric: bool = False,
) -> QuantizationPlan:
    """Return the plan for `graph` by one method, see `plans_of`."""
    return plans_of(graph, calibration, (method,), symmetric=symmetric)[method]


def plans_of(
    graph: ir.Graph,
    calibration: Calibration,
    methods: Sequence[Method],
    *,
    symmetric: bool = False,
) -> dict[Method, QuantizationPlan]:
    """Return the plan for `graph` by each method; only their ranges differ.

    Args:
        graph: the one that was calibrated.
        calibration: of what `observer_of` names.
        methods: how ranges are chosen.
        symmetric: the target's grids are symmetric; part of a range's error.
    """
    found, skips = units_of(graph)
    units: list[Unit] = []
    refused = list(skips)
    for unit in found:
        unseen = [name for name in unit.tensors if name not in calibration.histograms]
        if unseen:
            reason = f"tensor {unseen[0]} holds no float32 in calibration"
            refused.append(Skip(where=unit.name, reason=reason))
        else:
            units.append(unit)
    values = values_of(graph)
    names = dict.fromkeys(name for unit in units for name in unit.tensors)
    ranges = {
        name: ranges_of(
            calibration.histograms[name],
            methods,
            symmetric=symmetric,
            reach=_reach_of(values[name]),
        )
        for name in names
    }
    by_output = {node.outputs[0].name: node for node in graph if node.outputs}
    counted = tuple(
        replace(unit, macs=_macs_of(unit, by_output[unit.node], calibration)) for unit in units
    )
    means = {name: calibration.mean_of(name) for name in calibration.sums}
    return {
        method: QuantizationPlan(
            ranges={name: by_method[method] for name, by_method in ranges.items()},
            means={name: mean for name, mean in means.items() if mean is not None},
            units=counted,
            skips=tuple(refused),
        )
        for method in methods
    }


def values_of(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return every tensor of the graph by name; initializers are not among them."""
    found = {value.name: value for value in graph.inputs if value.name}
    for node in graph:
        found.update((value.name, value) for value in node.outputs if value.name)
    return found


def _macs_of(unit: Unit, node: ir.Node, calibration: Calibration) -> int:
    outputs = calibration.histograms[unit.output].size
    if unit.kind == "attention":
        shape = node.inputs[0].shape if node.inputs[0] is not None else None
        depth = shape[-1] if shape else None
        return outputs * depth if isinstance(depth, int) else 0
    if unit.weight is None:
        return 0
    weight = weight_of(node, unit)
    if unit.kind == "transposed":
        inputs = calibration.histograms[unit.inputs[0]].size
        return inputs * math.prod(weight.shape[1:])
    if unit.kind in CONVOLUTIONS:
        return outputs * math.prod(weight.shape[1:])
    return outputs * (weight.size // unit.channels)


def _reach_of(value: ir.Value) -> Reach:
    """Return what the consumers of `value` tell apart, the union over them."""
    uses = list(value.uses())
    if value.is_graph_output() or not uses:
        return Reach()
    parts = [_reach_into(use.node) for use in uses]
    return Reach(low=min(part.low for part in parts), high=max(part.high for part in parts))


def _reach_into(node: ir.Node) -> Reach:
    if node.op_type == "HardSwish":
        return Reach(low=-3.0)
    if node.op_type == "HardSigmoid":
        alpha = node.attributes.get_float("alpha", 0.2)
        beta = node.attributes.get_float("beta", 0.5)
        return Reach(low=-beta / alpha, high=(1 - beta) / alpha) if alpha > 0 else Reach()
    if node.op_type == "Relu":
        return Reach(low=0.0)
    if node.op_type == "Clip":
        low, high = clip_bounds(node)
        return Reach(low=low, high=high)
    return Reach()


def clip_bounds(node: ir.Node) -> tuple[float, float]:
    """Return the bounds of a Relu or Clip, infinite where there is none or it is computed."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    bounds = [-math.inf, math.inf]
    for index, bound in enumerate(node.inputs[1:3]):
        if bound is not None:
            found = constant_of(bound)
            bounds[index] = float(found.reshape(())) if found is not None else bounds[index]
    return bounds[0], bounds[1]
