"""Large matrices with integer weights alone, offered beside int8 and float, and measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.graph import Model
from edgekit.quantization.placement import Units
from edgekit.quantization.weight_only import BITS, large_matrices, narrowed

if TYPE_CHECKING:
    from edgekit.passes.quantizing import Quantizing

_GAIN = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A placement, and what is made of the large matrices that it leaves in float.

    Attributes:
        units: in int8.
        model: the graph.
        matrices: how many have integer weights alone.
        bits: of those.
    """

    units: Units
    model: Model
    matrices: int = 0
    bits: int = 0


def fastest_form(work: Quantizing, units: Units) -> Form:
    """Return the placement as it is, or a form with integer weights alone that is faster.

    A form counts only if the outputs keep the signal to noise that is asked for. The large
    matrices among `units` are tried in this form, too.

    Args:
        work: with its final plan; a device measures.
        units: in int8.
    """
    plain = Form(units=units, model=work.emitted(units))
    large = set(large_matrices(work.model))
    if not large or work.context.target.runtimes[0] != "onnxruntime":
        return plain
    inside = frozenset(unit.name for unit in work.plan.units if unit.node in large)
    forms = [plain]
    for placed in dict.fromkeys((units, units - inside)):
        base = work.emitted(placed)
        nodes = large_matrices(base)
        if nodes:
            forms += [
                Form(
                    units=placed,
                    model=narrowed(base, nodes, bits),
                    matrices=len(nodes),
                    bits=bits,
                )
                for bits in BITS
            ]
    losses = work.answers.losses([form.model for form in forms[1:]]) if forms[1:] else []
    kept = [
        form
        for form, loss in zip(forms[1:], losses, strict=True)
        if loss.sqnr_db >= work.asked.min_sqnr_db
    ]
    models = [form.model for form in (plain, *kept)]
    latencies = work.context.latencies_of(models, "decide") if kept else None
    if latencies is None:
        return plain
    limit = latencies[0].value * _GAIN
    value, best = min(
        ((one.value, form) for one, form in zip(latencies[1:], kept, strict=True)),
        key=lambda pair: pair[0],
    )
    return best if value < limit else plain
