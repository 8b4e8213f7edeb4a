"""The pass that makes the graph smaller and leaves its answers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgekit.candidate import Skip
from edgekit.errors import ModelError
from edgekit.graph import Model
from edgekit.graph.equality import largest_difference
from edgekit.graph.rewriting import rewritten
from edgekit.graph.simplification import simplify_in_place
from edgekit.passes.contract import Context, Outcome

_TOLERANCE = 1e-5
_OPSETS = (17, 13)
"""Wanted (LayerNormalization, HardSwish), and least (QuantizeLinear per channel)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplify:
    """Fold constants and normalizations, fuse, drop what is not needed, raise the opset.

    Functions are inlined; weights become initializers; constants are folded where the file does
    not grow by it; BatchNormalization and other scales and shifts per channel are folded into
    Conv, ConvTranspose and Gemm; hard-swish and hard-sigmoid become one operator; equal
    initializers and equal nodes become one. The opset is raised to 17, or else 13, when all
    operators convert.

    The result is run beside the original on random inputs, at two batch sizes where batch is
    dynamic; unless all outputs agree within `tolerance` the original is returned, with a Skip.

    Attributes:
        keep_norms: BatchNormalization stays: the criterion `batchnorm` of `prune` looks at it.
    """

    keep_norms: bool = False

    name: ClassVar[str] = "simplify"
    tolerance: ClassVar[float | None] = _TOLERANCE

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the simplified model; facts hold what was folded, and nodes before and after."""
        skipped: list[Skip] = []
        for opset in _opsets(model.opset):
            try:
                result, facts = rewritten(
                    model, "simplifying", simplify_in_place, opset, self.keep_norms
                )
                difference = largest_difference(model, result, context.shapes)
            except ModelError as error:
                skipped.append(Skip(where=f"opset {opset}", reason=str(error)))
                continue
            if difference <= _TOLERANCE and not _worth_it(facts, model, result):
                return Outcome(model=model, changed=False, skipped=tuple(skipped))
            if difference <= _TOLERANCE:
                facts |= {
                    "nodes before": _nodes(model),
                    "nodes after": _nodes(result),
                    "opset before": model.opset,
                    "opset after": result.opset,
                    "largest difference": difference,
                }
                return Outcome(model=result, changed=True, skipped=tuple(skipped), facts=facts)
            reason = f"outputs differ by {difference:.1e}, more than {_TOLERANCE:.0e}"
            skipped.append(Skip(where=f"opset {opset}", reason=reason))
        return Outcome(model=model, changed=False, skipped=tuple(skipped))


def _opsets(current: int) -> tuple[int, ...]:
    """Return the least opsets to try, best first; the last try keeps the opset."""
    return (*(opset for opset in _OPSETS if opset > current), current)


def _nodes(model: Model) -> int:
    return sum(1 for node in model.ir.graph.all_nodes() if node.op_type != "Constant")


def _worth_it(facts: dict[str, Any], before: Model, after: Model) -> bool:
    changes = ("folded into weights", "reshapes settled", "nodes gone", "nodes new")
    tensors = [sum(1 for _ in model.tensors()) for model in (before, after)]
    inputs = [len(model.ir.graph.inputs) for model in (before, after)]
    return (
        any(facts[change] for change in changes)
        or before.opset != after.opset
        or tensors[0] != tensors[1]
        or inputs[0] != inputs[1]
    )
