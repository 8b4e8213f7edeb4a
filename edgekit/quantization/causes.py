"""Why a unit loses what it loses in int8: the largest source of its noise, and what is behind it.

A unit's noise at its output has four sources: rounding and clipping what it reads, rounding its
weight, rounding what it writes. Each is estimated as a mean square; the largest decides where to
look. What the unit costs at the model's outputs is measured, not estimated (`Loss`).
"""

from __future__ import annotations

import math

import numpy as np

from edgekit.quantization.evidence import Cause, Doubles, Evidence
from edgekit.quantization.plan import CONVOLUTIONS
from edgekit.quantization.stretching import tensor_cause, weight_cause

_SMALL_SUM = 64.0


def cause_of(evidence: Evidence) -> Cause:
    """Return what makes most of the noise at the output of a unit in int8."""
    noises = _noises(evidence)
    source = max(noises, key=lambda key: noises[key])
    kind, index = source
    seen = evidence.output if kind.startswith("output") else None
    if kind.startswith("input"):
        seen = evidence.inputs[index]
    if kind == "weight":
        found = weight_cause(evidence)
    elif seen is None:
        found = Cause(name="8-bit rounding", why="nothing of it has a grid")
    elif kind.endswith("clipped"):
        lost = 10 * math.log10(max(evidence.power, 1e-300) / max(noises[source], 1e-300))
        why = (
            f"values of {seen.name} beyond {seen.span.low:.3g} to {seen.span.high:.3g} are cut off"
        )
        found = Cause(name="saturation", why=why, figures={"clipping, dB": lost})
    else:
        found = tensor_cause(seen)
    if found.name != "8-bit rounding":
        return found
    return _small_sums(evidence) or (_island() if evidence.alone else found)


def relative_noise(evidence: Evidence) -> float:
    """Return the noise at the output of a unit, all sources together, by the output's power."""
    return sum(_noises(evidence).values()) / max(evidence.power, 1e-300)


def _noises(evidence: Evidence) -> dict[tuple[str, int], float]:
    """Return the mean square noise at the output by (source, index of the input)."""
    found: dict[tuple[str, int], float] = {}
    for index, seen in enumerate(evidence.inputs):
        gain = _gain(evidence, index)
        rounding = min(seen.span.error, seen.step**2 / 12)
        found["input rounded", index] = gain * rounding
        found["input clipped", index] = gain * (seen.span.error - rounding)
    if evidence.weight is not None and evidence.integers is not None:
        found["weight", 0] = _weight_noise(evidence)
    if evidence.output is not None:
        error, step = evidence.output.span.error, evidence.output.step
        found["output rounded", 0] = min(error, step**2 / 12)
        found["output clipped", 0] = error - found["output rounded", 0]
    return found or {("output rounded", 0): 0.0}


def _gain(evidence: Evidence, index: int) -> float:
    """Return how noise power in an input comes out: by the weight, or as the signal does."""
    if evidence.weight is not None:
        axis = evidence.unit.weight_axis or 0
        outputs = int(evidence.weight.shape[axis])
        return float(np.sum(evidence.weight.astype(np.float64) ** 2)) / outputs
    return evidence.power / max(evidence.inputs[index].power, 1e-300)


def _weight_noise(evidence: Evidence) -> float:
    weight, integers = evidence.weight, evidence.integers
    if weight is None or integers is None:
        return 0.0
    lost = weight.astype(np.float64) - integers.floats().astype(np.float64)
    powers = _column_powers(evidence, lost)
    return float(np.sum(lost * lost * powers)) / int(lost.shape[evidence.unit.weight_axis or 0])


def _column_powers(evidence: Evidence, weight: Doubles) -> Doubles:
    """Return the power of the channel that each number of a weight meets, to broadcast to it."""
    seen = evidence.inputs[0]
    if seen.channels is None:
        return np.full((1,) * weight.ndim, seen.power)
    power = seen.channels.power
    axis = evidence.unit.weight_axis or 0
    if evidence.unit.kind in CONVOLUTIONS:
        inner = weight.shape[1 - axis]
        if inner != power.size:
            return np.full((1,) * weight.ndim, float(power.mean()))
        shape = [1] * weight.ndim
        shape[1 - axis] = inner
        return power.reshape(shape)
    shape = [1] * weight.ndim
    shape[1 - axis] = -1
    return (
        power.reshape(shape) if power.size == weight.shape[1 - axis] else power.mean(keepdims=True)
    )


def _small_sums(evidence: Evidence) -> Cause | None:
    """Return the cause when integer sums are so small that single steps of them count."""
    if evidence.integers is None or not evidence.inputs:
        return None
    step = evidence.inputs[0].step * float(np.median(evidence.integers.scales))
    size = math.sqrt(evidence.power) / step if step else math.inf
    if size >= _SMALL_SUM:
        return None
    why = f"its integer sums are {size:.0f} on average: one step of input or weight shows"
    return Cause(name="tiny accumulators", why=why, figures={"mean sum": size})


def _island() -> Cause:
    why = "its neighbours are in float: both of its sides are rounded for it alone"
    return Cause(name="unfused island", why=why)
