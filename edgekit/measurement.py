"""What a measurement is: raw samples with everything needed to judge them later.

All of it is plain data that pydantic turns into `measurements.json` and back
(`pydantic.TypeAdapter(Measurement)`). Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1
Role = Literal["original", "candidate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided interval with its confidence; `value` is the point estimate."""

    low: float
    value: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of one inference process; None where the system does not tell.

    Attributes:
        peak_bytes: high-water mark over load and runs (VmHWM after a reset).
        runtime_bytes: before the model was loaded (PSS).
        weights_bytes: added by loading.
        arena_bytes: added by running.
    """

    peak_bytes: int | None
    runtime_bytes: int | None
    weights_bytes: int | None
    arena_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fresh process with one model: the unit of inference for a percentile.

    Attributes:
        rounds: one tuple of warm latencies (s per inference) for each interleaved round.
        first_s: first inference.
        load_s: session creation.
        warmup_iterations: how many were needed; not part of `rounds`.
        settled: False when the warm-up rule gave up at its cap.
        batched: inferences per timed sample (1 unless one inference is too short for the timer).
        parts_s: medians of what a latency consists of, and of what overlaps with it, by name, where
            the runtime tells them apart.
    """

    role: Role
    rounds: tuple[tuple[float, ...], ...]
    first_s: float
    load_s: float
    warmup_iterations: int
    settled: bool
    memory: Memory
    batched: int = 1
    parts_s: dict[str, float] = field(default_factory=dict)

    @property
    def samples(self) -> tuple[float, ...]:
        """All warm latencies, in order."""
        return tuple(sample for part in self.rounds for sample in part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Four fresh runs, original, candidate, candidate, original: the unit of a comparison.

    The four processes are alive together and take turns in short slices, in the order A B B A
    in each round, so drift cancels within milliseconds and not only over the block.

    Attributes:
        runs: in the order A B B A.
        disturbed: why the block is not trusted (throttled, busy); empty when it is.
        state: what the device said before and after (governor, frequencies, temperatures, load).
    """

    index: int
    runs: tuple[Run, ...]
    disturbed: tuple[str, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How well one model answers, sample by sample, on the same samples as the original.

    Attributes:
        metric: `top1`, `top5`, `agreement` or the user's `module:callable`.
        better: which direction of a value is an improvement.
        values: the metric of each sample (1.0 or 0.0 for top-1); percent after averaging.
        original_values: the original's, same samples in the same order.
        agreement: share of samples with the same answer as the original, 0 to 1; None where the
            outputs are not class scores.
        sqnr_db: of all outputs against the original's.
        labelled: False when there were no labels and only agreement could be measured.
        simulated: True when the host's runtime stood in for the device's.
    """

    metric: str
    better: Literal["lower", "higher"]
    values: tuple[float, ...]
    original_values: tuple[float, ...]
    agreement: float | None
    sqnr_db: float
    labelled: bool
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPass:
    """Energy of one fresh process that did nothing but infer.

    Attributes:
        joules: of one inference, idle taken off.
        idle_w, busy_w: mean power before and after, and meanwhile.
        updates: readings of the sensor meanwhile.
        disturbed: why the pass is not trusted; empty when it is.
    """

    joules: float
    idle_w: float
    busy_w: float
    updates: int
    inferences: int
    disturbed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of one inference, in passes of their own.

    Attributes:
        sensor: what was read, e.g. `INA3221 VDD_IN`, and `simulated` where it was.
    """

    sensor: str
    passes: tuple[EnergyPass, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one layer takes on the device, by the runtime's own profiler.

    Attributes:
        name: of the model's node with the multiply-adds, else of the last one; of the runtime's
            operator where it is the runtime's own (a change of layout).
        holds: the model's nodes that are computed here, in graph order; empty for the runtime's
            own.
        operators: the types of `holds`.
        runs_as: the runtime's operators, e.g. `Conv`.
        provider: execution provider.
        integer: whether they compute with 8-bit integers.
        seconds: of one inference.
        macs: multiply-adds.
        bytes: read and written at least once: activations in and out, and weights.
    """

    name: str
    holds: tuple[str, ...]
    operators: tuple[str, ...]
    runs_as: tuple[str, ...]
    provider: str
    integer: bool
    seconds: float
    macs: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """What this device could do at best, measured on it with the same threads.

    Attributes:
        macs_per_s: multiply-adds of a large matrix product in floats.
        integer_macs_per_s: the same in 8-bit integers; None where the runtime has none.
        bytes_per_s: read and written by a copy that no cache holds.
    """

    macs_per_s: float
    integer_macs_per_s: float | None
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Time by layer, in a pass of its own; never used for gating.

    Attributes:
        layers: in the order of execution.
        run_s: one whole inference with the profiler on.
        runs: inferences that were profiled.
    """

    layers: tuple[Layer, ...]
    roofline: Roofline
    run_s: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of a sustained run.

    Attributes:
        at_s: when it began.
        inferences: in all; `samples` are every k-th of their latencies, s.
        temperature_c: by thermal zone, at its end; None where the device does not tell.
        frequency_hz: of the fastest CPU, in its middle; None as above.
    """

    at_s: float
    inferences: int
    p50_s: float
    p95_s: float
    samples: tuple[float, ...]
    temperature_c: dict[str, float] | None
    frequency_hz: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """One process that inferred for minutes.

    Attributes:
        windows: in order, of `window_s` each.
        disturbed: signs of throttling, which are the device's nature here; and of others' work.
    """

    seconds: float
    window_s: float
    windows: tuple[Window, ...]
    disturbed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was measured where. Two measurements with different setups are never compared.

    Attributes:
        target: name of the target.
        device: name of the device, or None when nothing was timed.
        runtime: e.g. `onnxruntime 1.31.1 CPUExecutionProvider`.
        threads: intra-op threads.
        batch: samples per inference.
        shapes: input shapes used for timing, by name.
        environment: CPU, kernel, versions, boot id; what cannot be read is `unavailable`.
    """

    target: str
    device: str | None
    runtime: str
    threads: int
    batch: int
    shapes: dict[str, tuple[int, ...]]
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A candidate measured against the original on one device.

    Attributes:
        candidate, sha256, size_bytes: what was measured, by content.
        original_sha256, original_size_bytes: what it was paired with.
        blocks: paired blocks; empty when nothing was timed.
        null_blocks: the original paired with itself in the same session (null control).
        accuracy: None when there was no data to judge by.
        energy: None where no sensor of power can be read.
        layers, sustained: None unless they were asked for.
    """

    schema_version: int = SCHEMA
    candidate: str
    sha256: str
    size_bytes: int
    original_sha256: str
    original_size_bytes: int
    setup: Setup
    blocks: tuple[Block, ...] = ()
    null_blocks: tuple[Block, ...] = ()
    accuracy: Accuracy | None = None
    energy: Energy | None = None
    layers: Layers | None = None
    sustained: Sustained | None = None
    created: str = ""
    notes: tuple[str, ...] = ()
