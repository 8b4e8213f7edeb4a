"""A pass is applied to a model, with what it may ask the job's device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from edgekit import bench, graph, reuse
from edgekit.candidate import StepRecord
from edgekit.dataset import Dataset
from edgekit.devices import Device
from edgekit.graph import Model
from edgekit.job import Job
from edgekit.measurement import Interval
from edgekit.passes import Context, Effort, Pass

_REUSED = frozenset(("quantize",))
"""Steps of which it is kept what they made, see `reuse`."""
_UNTELLING = frozenset(("boot_id", "sensors", "power_sensor"))
"""What of a device's environment has no part in how fast it is."""
_SECONDS_EACH: dict[Effort, float] = {"screen": 0.25, "decide": 1.0, "settle": 6.0}


def context_of(job: Job, calibration: Dataset | None) -> Context:
    """Return what passes may use in this job."""
    return Context(
        target=job.running.target,
        data=calibration,
        latencies_of=Latencies(job),
        workspace=job.workspace,
        threads=job.running.threads,
        batch=job.running.batch,
        shapes=job.running.shapes,
        progress=job.progress,
        original=job.model,
        measured_on=_identity(job.device),
    )


def apply(step: Pass, model: Model, context: Context) -> tuple[Model, StepRecord]:
    """Apply one pass and record what it did; what is known of the same work is not done again."""
    params = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]  # passes are dataclasses
    if step.name not in _REUSED:
        return _applied(step, params, model, context)
    started = time.monotonic()
    conditions = {
        "step": step.name,
        "params": params,
        "target": context.target.model_dump(mode="json"),
        "run": [context.threads, context.batch, context.shapes],
        "device": context.measured_on,
    }
    key = reuse.key_of(model, context.data, context.workspace, conditions)
    before = reuse.found(key, model)
    if before is not None:
        made, record = before
        facts = {**record.facts, "made before, in s": record.seconds}
        return made, replace(record, facts=facts, seconds=round(time.monotonic() - started, 3))
    made, record = _applied(step, params, model, context)
    reuse.keep(key, made, record)
    return made, record


def _applied(
    step: Pass, params: dict[str, Any], model: Model, context: Context
) -> tuple[Model, StepRecord]:
    started = time.monotonic()
    outcome = step.apply(model, context)
    record = StepRecord(
        name=step.name,
        params=params,
        changed=outcome.changed,
        skipped=outcome.skipped,
        facts=outcome.facts,
        seconds=round(time.monotonic() - started, 3),
    )
    return outcome.model, record


def _identity(device: Device | None) -> dict[str, Any]:
    """Return what does not change between two measurements on a device; nothing without one."""
    if device is None:
        return {}
    kept = {k: v for k, v in device.environment().items() if k not in _UNTELLING}
    return {"name": device.name, **kept}


@dataclass(slots=True)
class Latencies:
    """Answers a pass's question how fast models are, on the job's device; see `LatenciesOf`."""

    job: Job
    asked: int = 0

    def __call__(self, models: Sequence[Model], effort: Effort) -> list[Interval] | None:
        """Measure `models` in one interleaved session; None without a device."""
        device = self.job.device
        if device is None:
            return None
        folder = self.job.workspace / "asked"
        folder.mkdir(exist_ok=True)
        files = []
        for model in models:
            self.asked += 1
            files.append(folder / f"{self.asked}.onnx")
            graph.save(model, files[-1])
        seconds = _SECONDS_EACH[effort]
        found = bench.screen(device, files, self.job.running, seconds_each=seconds)
        for file in files:
            file.unlink()
        first_s = found[0].p50.value
        return [
            Interval(
                low=first_s * one.ratio.low,
                value=first_s * one.ratio.value,
                high=first_s * one.ratio.high,
                confidence=one.ratio.confidence,
            )
            for one in found
        ]
