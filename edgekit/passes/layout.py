"""The pass that lets the runtime keep its layout of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgekit.candidate import Skip
from edgekit.graph import Model
from edgekit.graph.equality import largest_difference
from edgekit.graph.gates import spread_gates
from edgekit.passes.contract import Context, Outcome

_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Write gates (products by one value a channel) in the form that is faster on the device.

    Kept only where it is measured to be faster: without a device nothing changes.
    """

    name: ClassVar[str] = "layout"
    tolerance: ClassVar[float | None] = _TOLERANCE

    def apply(self, model: Model, context: Context) -> Outcome:
        """Return the model with its gates spread, all of them or those of small images.

        Facts hold the names of the products, and the latency ratio.
        """
        ways = spread_gates(model)
        if not ways:
            return Outcome(model=model, changed=False)
        difference = largest_difference(model, ways[-1][0], context.shapes)
        if difference > _TOLERANCE:
            reason = f"outputs differ by {difference:.1e}, more than {_TOLERANCE:.0e}"
            return _declined(model, reason)
        context.progress("measuring how gates are best written", 0, 0)
        found = context.latencies_of([model, *(spread for spread, _ in ways)], "decide")
        if found is None:
            return _declined(model, "nothing can be measured, and it pays on some devices only")
        plain, *times = found
        best = min(range(len(ways)), key=lambda way: times[way].value)
        ratio = times[best].value / plain.value
        if times[best].high >= plain.value:
            return _declined(model, f"{ratio:.3f}x the latency where they are spread")
        spread, products = ways[best]
        facts = {
            "gates spread": list(products),
            "latency ratio": round(ratio, 4),
            "largest difference": difference,
        }
        return Outcome(model=spread, changed=True, facts=facts)


def _declined(model: Model, reason: str) -> Outcome:
    return Outcome(model=model, changed=False, skipped=(Skip(where="gates", reason=reason),))
