"""Latency, memory and load time: figures from blocks of runs.

The unit of inference is the block: its runs are fresh processes that live, and are disturbed,
together, so a block gives one value (the mean over its two runs of a model) or, for a percentile,
one group of samples. Blocks that the device disturbed are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from edgekit import statistics
from edgekit.judging.figure import Figure, between, exactly
from edgekit.measurement import Block, Measurement, Role, Run
from edgekit.metrics import METRICS

LOOKS = statistics.LOOKS
PAIRED_RATIOS = tuple(m.name for m in METRICS if m.estimator == "paired")
_RUNS_IN_BLOCK = 4
_OF_RUN: dict[str, Callable[[Run], float | None]] = {
    "latency.first": lambda run: run.first_s,
    "latency.mean": lambda run: float(np.mean(run.samples)),
    "load": lambda run: run.load_s,
    "memory.peak": lambda run: run.memory.peak_bytes,
    "memory.weights": lambda run: run.memory.weights_bytes,
    "memory.arena": lambda run: run.memory.arena_bytes,
}


def usable(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the blocks that count: undisturbed, four runs, the same rounds in each."""
    return tuple(
        block
        for block in blocks
        if len(block.runs) == _RUNS_IN_BLOCK
        and not block.disturbed
        and all(run.rounds and all(run.rounds) for run in block.runs)
        and len({len(run.rounds) for run in block.runs}) == 1
    )


def left_out(blocks: Sequence[Block]) -> str:
    """Say how many blocks do not count because the device was disturbed, and by what."""
    disturbed = [block for block in blocks if block.disturbed]
    if not disturbed:
        return ""
    kinds = Counter(reason.partition(":")[0] for block in disturbed for reason in block.disturbed)
    return (
        f"{len(disturbed)} of {len(blocks)} blocks left out: {', '.join(kinds)}, "
        f"e.g. {disturbed[-1].disturbed[0]}"
    )


def differences(blocks: Sequence[Block], statistic: str) -> tuple[float, ...]:
    """Return log(candidate / original) of each block, in the order A B B A.

    Args:
        blocks: usable ones.
        statistic: `p50`, `p95`, `p99` or `mean` of a run's warm latencies.
    """
    return tuple(
        statistics.paired_log_ratio([run.rounds for run in block.runs], statistic)
        for block in blocks
    )


def percentile(measurement: Measurement, statistic: str, confidence: float) -> Figure:
    """Bound a latency percentile of the candidate over all runs that the device could make, s."""
    if not usable(measurement.blocks):
        return _nothing(measurement)
    return percentile_of_blocks(measurement.blocks, statistic, confidence)


def percentile_of_blocks(blocks: Sequence[Block], statistic: str, confidence: float) -> Figure:
    """Bound a latency percentile of the candidate, each side wrong with at most 1 - `confidence`.

    The samples of a block are one group: its two processes are alike, other blocks differ. The
    error is spread over looks as in `ratio_of_blocks`.

    Args:
        blocks: at least one of them usable.
        statistic: `p50`, `p95` or `p99`.
        confidence: of each side.
    """
    counted = usable(blocks)
    if len(counted) == 1:
        return _one_block(blocks)
    share = float(statistic.removeprefix("p")) / 100
    at_look = statistics.look_confidence(confidence)
    groups = [
        np.concatenate([run.samples for run in _runs_of(block, "candidate")]) for block in counted
    ]
    samples = np.concatenate(groups)
    if missing := _missing(samples.size / len(counted), len(counted), share, at_look):
        return Figure(
            interval=None,
            evidence=f"{statistic} at {confidence:.0%} needs at least {len(counted) + missing} "
            f"blocks of {samples.size // len(counted)} samples, found {len(counted)}: "
            f"{missing} more{_disturbed(blocks)}",
            needed=missing,
        )
    low, high = statistics.grouped_quantile_bounds(groups, share, at_look)
    interval = between(low, float(np.quantile(samples, share)), high, confidence)
    return Figure(
        interval=interval,
        evidence=f"{samples.size} samples in {len(counted)} blocks",
        resolution=interval.high - interval.value,
    )


def _missing(each: float, blocks: int, share: float, confidence: float) -> int:
    """Return how many more blocks of `each` samples bound the quantile `share` at all."""
    least = statistics.least_samples(share, confidence)
    more = 0
    while statistics.effective_samples(each * (blocks + more), blocks + more, confidence) < least:
        more += 1
    return more


def ratio(measurement: Measurement, statistic: str, confidence: float) -> Figure:
    """Bound the ratio to the original, from paired blocks and with room for all looks."""
    if measurement.sha256 == measurement.original_sha256:
        return exactly(1.0, "it is the original itself")
    if not usable(measurement.blocks):
        return _nothing(measurement)
    return ratio_of_blocks(measurement.blocks, statistic, confidence)


def ratio_of_blocks(blocks: Sequence[Block], statistic: str, confidence: float) -> Figure:
    """Bound candidate / original over blocks, each side wrong with at most 1 - `confidence`.

    The error is spread over the looks of a sequential measurement (`LOOKS`), so it holds however
    early the measuring stopped.
    """
    counted = usable(blocks)
    if len(counted) < LOOKS[0]:
        missing = LOOKS[0] - len(counted)
        return Figure(
            interval=None,
            evidence=f"a ratio needs at least {LOOKS[0]} blocks, found {len(counted)}: "
            f"{missing} more{_disturbed(blocks)}",
            needed=missing,
        )
    found = differences(counted, statistic)
    at_look = statistics.look_confidence(confidence)
    low, high = statistics.mean_bounds(found, at_look)
    value = float(np.mean(found))
    return Figure(
        interval=between(math.exp(low), math.exp(value), math.exp(high), confidence),
        evidence=f"{len(counted)} paired blocks{_disturbed(blocks)}",
        resolution=math.expm1(high - value),
    )


def of_runs(measurement: Measurement, name: str, confidence: float) -> Figure:
    """Bound the mean of a figure that each run has one of."""
    if not usable(measurement.blocks):
        return _nothing(measurement)
    return mean_of_blocks(measurement.blocks, name, confidence, batch=measurement.setup.batch)


def mean_of_blocks(blocks: Sequence[Block], name: str, confidence: float, *, batch: int) -> Figure:
    """Bound the mean of a figure that each run has one of, with room for all looks.

    Args:
        blocks: at least one of them usable.
        name: of a metric that is estimated from runs.
        confidence: of each side.
        batch: samples in an inference.
    """
    counted = usable(blocks)
    values = [_block_value(block, name, batch) for block in counted]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Figure(interval=None, evidence=f"the device does not tell {name}")
    if len(known) == 1:
        return _one_block(blocks)
    low, high = statistics.mean_bounds(known, statistics.look_confidence(confidence))
    interval = between(low, float(np.mean(known)), high, confidence)
    return Figure(
        interval=interval,
        evidence=f"{len(counted)} blocks of 2 fresh processes",
        resolution=interval.high - interval.value,
    )


def energy(measurement: Measurement, confidence: float) -> Figure:
    """Bound the energy of one inference from passes in fresh processes, J."""
    found = measurement.energy
    if found is None:
        return Figure(
            interval=None,
            evidence="energy was not measured: no sensor of power could be read on the device",
        )
    joules = [one.joules for one in found.passes if not one.disturbed]
    left_out = len(found.passes) - len(joules)
    told = f" ({left_out} of {len(found.passes)} passes were disturbed)" if left_out else ""
    if len(joules) < 2:  # noqa: PLR2004  # a spread needs two
        return Figure(interval=None, evidence=f"fewer than two undisturbed passes{told}")
    low, high = statistics.mean_bounds(joules, confidence)
    interval = between(low, float(np.mean(joules)), high, confidence)
    return Figure(
        interval=interval,
        evidence=f"{found.sensor}, {len(joules)} passes in fresh processes{told}",
        resolution=interval.high - interval.value,
    )


def _block_value(block: Block, name: str, batch: int) -> float | None:
    found = []
    for run in _runs_of(block, "candidate"):
        if name == "throughput":
            found.append(batch / float(np.mean(run.samples)))
        elif (value := _OF_RUN[name](run)) is not None:
            found.append(float(value))
        else:
            return None
    return float(np.mean(found))


def _runs_of(block: Block, role: Role) -> tuple[Run, ...]:
    return tuple(run for run in block.runs if run.role == role)


def _nothing(measurement: Measurement) -> Figure:
    if measurement.setup.device is None:
        why = f"nothing was timed: no device of target {measurement.setup.target!r} was given"
    else:
        why = f"nothing was timed on {measurement.setup.device}: no whole, undisturbed block"
    return Figure(interval=None, evidence=why + _disturbed(measurement.blocks), needed=LOOKS[0])


def _one_block(blocks: Sequence[Block]) -> Figure:
    return Figure(
        interval=None,
        evidence="one block says nothing about the spread between blocks: 1 more"
        + _disturbed(blocks),
        needed=1,
    )


def _disturbed(blocks: Sequence[Block]) -> str:
    return f" ({told})" if (told := left_out(blocks)) else ""
