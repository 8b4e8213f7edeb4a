"""Compares two models in blocks until the question is settled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from edgekit.bench.running import Running, put_model, timing_spec
from edgekit.candidate import Candidate
from edgekit.devices import Device, ask
from edgekit.errors import InfrastructureError
from edgekit.measurement import Block, Memory, Role, Run
from edgekit.statistics import LOOKS

_ANSWER_S = 300.0
_BUILD_S = 1800.0
_BUILDS_ENGINES = "TensorrtExecutionProvider"
_BLOCK_S = 1800.0
_REPEATS = 5
_ROLES = ("original", "candidate", "candidate", "original")

Progress = Callable[[int, int], None]


def compare(
    device: Device,
    original: Candidate,
    candidate: Candidate,
    running: Running,
    *,
    looks: Sequence[int] = LOOKS,
    stop: Callable[[Sequence[Block]], bool] = lambda _blocks: False,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Block, ...]:
    """Measure `candidate` against `original` in blocks of four fresh processes.

    `compare(device, original, original, running)` is the null control.

    Args:
        device: connected.
        original: what the ratio is taken to.
        candidate: what is judged.
        running: threads, batch, shapes and inputs of both.
        looks: numbers of undisturbed blocks at which `stop` is asked; the last is the cap.
        stop: says, from all blocks so far, whether more would not change the ruling.
        progress: called with (undisturbed blocks so far, cap).

    Returns:
        the blocks in order, those with a disturbance marked and, up to 5 of them, repeated: they
        are beyond `looks`.

    Raises:
        ModelError: the runtime refuses a model or is broken by it.
        InfrastructureError: the device or the agent failed.
    """
    spec = {
        "original": _spec(device, original, running),
        "candidate": _spec(device, candidate, running),
        "timeout_s": _ANSWER_S,
    }
    block_s = _BLOCK_S
    if _BUILDS_ENGINES in running.target.providers:
        spec["timeout_s"] = _BUILD_S
        block_s += 2 * _BUILD_S
    blocks: list[Block] = []
    good, disturbed = 0, 0
    progress(good, looks[-1])
    while good < looks[-1] and disturbed <= _REPEATS:
        block = _block(len(blocks), ask(device, "block", spec, timeout_s=block_s), device)
        blocks.append(block)
        if block.disturbed:
            disturbed += 1
            continue
        good += 1
        progress(good, looks[-1])
        if good in looks and stop(blocks):
            break
    return tuple(blocks)


def _spec(device: Device, of: Candidate, running: Running) -> dict[str, Any]:
    model = put_model(device, of.file, running.target)
    return {**timing_spec(device, of.file, running), "model": model}


def _block(index: int, answer: Mapping[str, Any], device: Device) -> Block:
    try:
        runs = tuple(_run(run) for run in answer["runs"])
        if tuple(run.role for run in runs) != _ROLES:
            raise ValueError("not the four runs of a block")  # noqa: TRY301  # as what _run finds
        return Block(
            index=index,
            runs=runs,
            disturbed=tuple(str(reason) for reason in answer["disturbed"]),
            state={name: answer[name] for name in ("before", "after", "cpus")},
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InfrastructureError(
            "the agent's block cannot be read", where=f"on {device.name}", found=repr(error)
        ) from error


def _run(answer: Mapping[str, Any]) -> Run:
    if answer["role"] not in ("original", "candidate"):
        raise ValueError(answer["role"])
    rounds = tuple(tuple(float(ns) / 1e9 for ns in each) for each in answer["rounds_ns"])
    once = (float(answer["first_s"]), float(answer["load_s"]))
    every = [sample for each in (*rounds, once) for sample in each]
    if not all(rounds) or not rounds or not all(0 < sample < math.inf for sample in every):
        raise ValueError("a latency that is not positive")
    warm_up, memory = answer["warm_up"], answer["memory"]
    parts = [dict(each) for each in answer.get("parts_s", ())]
    return Run(
        role=cast("Role", answer["role"]),
        rounds=rounds,
        first_s=once[0],
        load_s=once[1],
        warmup_iterations=int(warm_up["iterations"]),
        settled=bool(warm_up["settled"]),
        batched=int(warm_up["batched"]),
        parts_s={
            str(name): float(np.median([float(each[name]) for each in parts]))
            for name in (parts[0] if parts else ())
        },
        memory=Memory(
            peak_bytes=_bytes(memory["peak_bytes"]),
            runtime_bytes=_bytes(memory["runtime_bytes"]),
            weights_bytes=_bytes(memory["weights_bytes"]),
            arena_bytes=_bytes(memory["arena_bytes"]),
        ),
    )


def _bytes(value: Any) -> int | None:
    return None if value is None else int(value)
