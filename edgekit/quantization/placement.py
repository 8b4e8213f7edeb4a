"""Where int8 pays: found by measuring whole graphs, because a float island costs its borders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edgekit.measurement import Interval
from edgekit.quantization.plan import Kind, QuantizationPlan, Unit
from edgekit.target import Target

Units = frozenset[str]
Measure = Callable[[Sequence[Units]], list[Interval] | None]
"""Latency of the graph with each set of units quantized, s; None when nothing can be measured."""

FLOAT: Units = frozenset()
_ELEMENTWISE: tuple[Kind, ...] = ("add", "mul", "concat", "pool")
_WIDE = (64, 128)
_GAIN = 0.98
_GROUPS = (6, 12)


@dataclass(slots=True, kw_only=True)
class Search:
    """Measures variants, each once, and remembers them.

    Attributes:
        measure: see `Measure`.
        most: how many variants may be measured.
        tried: what was measured, by units.
    """

    measure: Measure
    most: int = 60
    tried: dict[Units, Interval] = field(default_factory=dict)

    def fastest(self, variants: Sequence[Units]) -> Units | None:
        """Measure `variants` beside each other and return the fastest; None if that cannot be.

        The first is the incumbent: another must beat it by 2%.
        """
        found = self._measured(variants)
        if found is None:
            return None
        best = min(found, key=lambda units: found[units].value)
        incumbent = found[variants[0]].value
        return best if found[best].value < incumbent * _GAIN else variants[0]

    def improving(self, incumbent: Units, variants: Sequence[Units]) -> list[Units]:
        """Return those of `variants` that beat the incumbent by 2%, fastest first."""
        found = self._measured([incumbent, *variants]) or {}
        limit = found[incumbent].value * _GAIN if found else 0.0
        better = [units for units in found if found[units].value < limit]
        return sorted(better, key=lambda units: found[units].value)

    def room(self) -> int:
        """Return how many variants may still be measured."""
        return self.most - len(self.tried)

    def _measured(self, variants: Sequence[Units]) -> dict[Units, Interval] | None:
        wanted = list(dict.fromkeys(variants))
        intervals = self.measure(wanted)
        if intervals is None:
            return None
        found = dict(zip(wanted, intervals, strict=True))
        self.tried.update(found)
        return found


def eligible_units(plan: QuantizationPlan, target: Target) -> tuple[Unit, ...]:
    """Return the units for which the target's first runtime has an int8 kernel."""
    if target.runtimes[0] == "onnxruntime":
        return tuple(unit for unit in plan.units if unit.kind != "transposed")
    return plan.units


def placement_by_facts(plan: QuantizationPlan, target: Target) -> Units:
    """Return the units that are not of a class the target calls slow in int8."""
    return _named(
        unit for unit in eligible_units(plan, target) if unit.kind not in target.slow_in_int8
    )


def presets(plan: QuantizationPlan, target: Target) -> tuple[Units, ...]:
    """Return the placements to begin with, all different, none of them float."""
    units = eligible_units(plan, target)
    quick = [unit for unit in units if unit.kind not in target.slow_in_int8]

    def of(*kinds: Kind) -> Units:
        return _named(unit for unit in quick if unit.kind in kinds)

    everything = _named(units)
    found = [
        everything,
        _named(quick),
        everything - _named(unit for unit in units if unit.kind in _ELEMENTWISE),
        of("dense", "pointwise", "gemm", "matmul"),
        of("dense", "pointwise", "gemm", "matmul", "add"),
        of("dense", "pointwise", "gemm", "matmul", "attention"),
        of("gemm", "matmul"),
        *(_named(unit for unit in quick if unit.channels >= channels) for channels in _WIDE),
    ]
    return tuple(dict.fromkeys(units for units in found if units != FLOAT))


def refined(search: Search, units: Sequence[Unit], start: Units) -> Units:
    """Turn classes and runs of neighbouring units to int8 or to float while that is faster.

    Args:
        search: measures and bounds the number of variants.
        units: that may be quantized, in topological order.
        start: the placement to improve.
    """
    best = start
    for groups in _groupings(units):
        moves = [move for group in groups for move in _moves(best, group)]
        moves = [move for move in dict.fromkeys(moves) if move not in search.tried]
        moves = moves[: max(0, search.room() - 2)]
        if not moves:
            continue
        better = search.improving(best, moves)
        if better:
            combined = best
            for move in reversed(better):
                combined = (combined | (move - best)) - (best - move)
            best = search.fastest([best, better[0], combined]) or best
    return best


def _groupings(units: Sequence[Unit]) -> Iterator[list[Units]]:
    kinds = dict.fromkeys(unit.kind for unit in units)
    yield [_named(unit for unit in units if unit.kind == kind) for kind in kinds]
    for count in _GROUPS:
        size = max(1, -(-len(units) // count))
        yield [_named(units[at : at + size]) for at in range(0, len(units), size)]


def _moves(best: Units, group: Units) -> Iterator[Units]:
    if best & group:
        yield best - group
    if group - best:
        yield best | group


def _named(units: Sequence[Unit] | Iterator[Unit]) -> Units:
    return frozenset(unit.name for unit in units)
