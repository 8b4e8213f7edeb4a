"""A result as a job would leave it, with constructed figures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgekit.candidate import Candidate, Skip, StepRecord
from edgekit.graph import TensorSpec
from edgekit.judging import choose, judge
from edgekit.measurement import Setup
from edgekit.release import Budget, Step
from edgekit.result import Cost, Finding, Plan, Result, versions

BUDGETS = (
    "accuracy.drop<=0.5pt",
    "latency.p50.ratio<=0.6",
    "latency.p95<=2.6ms",
    "memory.peak<=64MiB",
    "size<=2MiB",
)


def build(
    make,
    *,
    device="local",
    ratios=(0.98, 0.503),
    budgets=BUDGETS,
    simulated=False,
    model="resnet.onnx",
):
    """A job of two steps on a small residual network."""
    candidates = (
        Candidate(
            name="original", file=Path("/job/resnet.onnx"), sha256="a" * 64, size_bytes=1098775
        ),
        Candidate(
            name="simplify",
            file=Path("/job/s/model.onnx"),
            sha256="b" * 64,
            size_bytes=1090000,
            steps=(StepRecord(name="simplify", facts={"nodes before": 61, "nodes after": 40}),),
            parent="original",
        ),
    )
    quantize = StepRecord(
        name="quantize",
        params={"method": "auto", "max_unit_drop_pt": 0.2},
        facts={"quantized units": 21, "float units": 2, "share of multiply-adds in int8": 0.973},
        skipped=(
            Skip(where="stem/Conv", reason="measured slower in int8: 42.0 us against 31.5 us"),
            Skip(where="head/Softmax", reason="int8 has no kernel for it on x86"),
            Skip(where="aux/Softmax", reason="int8 has no kernel for it on x86"),
        ),
    )
    candidates += (
        Candidate(
            name="quantize",
            file=Path("/job/q/model.onnx"),
            sha256="c" * 64,
            size_bytes=345089,
            steps=(*candidates[1].steps, quantize),
            parent="simplify",
        ),
    )
    setup = Setup(
        target="x86",
        device=device,
        runtime="onnxruntime 1.31.1 CPUExecutionProvider",
        threads=1,
        batch=1,
        shapes={"x": (1, 1, 28, 28)},
        environment={
            "cpu": "Example Processor 2.60 GHz, 2 cores",
            "kernel": "Linux 6.8",
            "governor": "unavailable",
        },
    )
    timing = {"base_s": 0.0044, "samples": 200, "rounds": 8, "peak_bytes": 62 << 20}
    null_blocks = make.blocks(5, **timing) if device else ()
    measurements = []
    for index, candidate in enumerate(candidates):
        number, ratio = ((5, 1.0), (5, ratios[0]), (10, ratios[1]))[index]
        timed = null_blocks if index == 0 else make.blocks(number, ratio, **timing)
        measurements.append(
            make.measurement(
                candidate=candidate.name,
                sha256=candidate.sha256,
                size_bytes=candidate.size_bytes,
                original_size_bytes=1098775,
                setup=setup,
                blocks=timed if device else (),
                null_blocks=null_blocks,
                accuracy=make.accuracy(lost=12, gained=9, simulated=simulated)
                if index == 2
                else make.accuracy(lost=0, gained=0, sqnr_db=float("inf"), simulated=simulated),
            )
        )
    limits = tuple(Budget.parse(text) for text in budgets)
    verdicts = tuple(judge(item, limits) for item in measurements)
    choice = choose(measurements, verdicts, "latency.p50")
    ruling = next(v.ruling for v in verdicts if v.candidate == choice.candidate)
    before = Cost(parameters=272474, macs=31820800, bytes=3_400_000, peak_activation_bytes=401_408)
    return Result(
        model=model,
        original_sha256="a" * 64,
        target="x86",
        plan=Plan(
            profile="quantize-only",
            steps=(Step(name="simplify"), Step(name="quantize")),
            objective="latency.p50",
            metric="top1",
            budgets=limits,
        ),
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 1, 28, 28)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
        candidates=candidates,
        measurements=tuple(measurements),
        verdicts=verdicts,
        chosen=choice.candidate,
        reason=choice.reason,
        ruling=ruling,
        next_command="edgekit report resnet-x86.bundle --open",
        cost=replace(before, bytes=1_100_000),
        original_cost=before,
        lint=(
            Finding(severity="warning", where="stem/Conv", what="float island costs a Q/DQ pair"),
        ),
        created="2026-11-22T02:00:00+00:00",
        versions=versions(),
        seconds=41.3,
        peak_memory_bytes=612 << 20,
    )


@pytest.fixture
def make_result(make):
    """A builder of results."""
    return partial(build, make)
