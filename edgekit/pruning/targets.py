"""What each layer of a pruned network should make, and in which order layers can be fitted.

A layer should make what its twin in the dense network makes, of the channels that stay. Where it
goes to an addition and nothing else, the sum is what counts: it should then make the dense sum less
the pruned network's other addend, and so also mends what drifted on the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgekit.layerwise.layers import Layer, computed_inputs
from edgekit.layerwise.responses import Response, response_to
from edgekit.pruning.cells import Cell
from edgekit.pruning.normalization import Norm

Fittable = Layer | Cell | Norm
Kept = Callable[[str, int], npt.NDArray[np.int64] | None]
"""Which positions of an axis the dense value has left in the pruned one of this name; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a layer is fitted to.

    Attributes:
        value: of the dense model.
        channels: of it, those that the layer makes; None for all.
        skip: a value of the pruned model, to be taken off; None for nothing.
        response: the activation through which alone what is made, and the skip added, is read.
        addend: with a skip, what to fit to where the sum has another shape than its addend.
    """

    value: str
    channels: npt.NDArray[np.int64] | None
    skip: str | None = None
    response: Response | None = None
    addend: Target | None = None


def fitting_order(
    graph: ir.Graph, layers: Sequence[Fittable], kept: Kept, twins: Mapping[str, str]
) -> list[tuple[Fittable, Target]]:
    """Return each layer with its target, those first that others need fitted before them.

    Args:
        graph: the pruned one.
        layers: of it, to be fitted, in graph order.
        kept: see `Kept`.
        twins: by value of the pruned model, the value of the dense model that it stands for where
            that is not the one of the same name.
    """
    values = ir.convenience.create_value_mapping(graph, include_subgraphs=False)
    behind = _layers_behind(graph, layers)
    outputs = {values[layer.output]: index for index, layer in enumerate(layers)}
    order: list[tuple[Fittable, Target]] = []
    placed = 0

    def place(index: int) -> None:
        nonlocal placed
        if placed >> index & 1:
            return
        placed |= 1 << index
        layer = layers[index]
        made = values[layer.output]
        target = aim(layer, made)
        addition = None
        if isinstance(layer, Layer):
            addition = _addition(made, index, behind, outputs)
        if addition is not None:
            skip = next(value for value in addition.inputs if value is not made and value)
            for other in _indexes(behind[skip]):
                place(other)
            total = aim(layer, addition.outputs[0])
            target = replace(total, skip=skip.name, addend=target)
        order.append((layer, target))

    def aim(layer: Fittable, made: ir.Value) -> Target:
        name = made.name or ""
        channels = kept(name, layer.axis)
        if isinstance(layer, Cell):
            channels = kept(layer.recurrence, 2)
        return Target(value=twins.get(name, name), channels=channels, response=response_to(made))

    for index in range(len(layers)):
        place(index)
    return order


def _addition(
    made: ir.Value, index: int, behind: Mapping[ir.Value, int], outputs: Mapping[ir.Value, int]
) -> ir.Node | None:
    """Return the Add that alone reads `made` and whose other addend can be known before it.

    Of two layers that add up, the one with more layers behind it makes up for the other.
    """
    readers = made.consumers()
    if len(readers) != 1 or readers[0].op_type != "Add" or made.is_graph_output():
        return None
    addends = [value for value in readers[0].inputs if value is not made]
    if len(addends) != 1 or addends[0] is None or addends[0] not in behind:
        return None
    other = addends[0]
    if behind[other] >> index & 1:
        return None
    rival = outputs.get(other)
    if rival is not None and len(other.consumers()) == 1:
        depth, rivals = behind[made].bit_count(), behind[other].bit_count()
        if (rivals, rival) > (depth, index):
            return None
    return readers[0]


def _layers_behind(graph: ir.Graph, layers: Sequence[Fittable]) -> dict[ir.Value, int]:
    """Return for each value that is no constant the layers it depends on, one bit each."""
    bits = {layer.node: 1 << index for index, layer in enumerate(layers)}
    behind = dict.fromkeys((value for value in graph.inputs if not value.is_initializer()), 0)
    for node in graph:
        found = bits.get(node.name or "", 0)
        constant = True
        for value in computed_inputs(node):
            found |= behind.get(value, 0)
            constant = constant and value not in behind
        if not constant:
            behind |= dict.fromkeys(node.outputs, found)
    return behind


def _indexes(bits: int) -> list[int]:
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


def composed(first: Kept, second: Kept) -> Kept:
    """Return what is left after two removals, in positions of the model before both."""

    def kept(value: str, axis: int) -> npt.NDArray[np.int64] | None:
        one, other = first(value, axis), second(value, axis)
        if one is None or other is None:
            return other if one is None else one
        return one[other]

    return kept
