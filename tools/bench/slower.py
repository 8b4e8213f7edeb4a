"""Makes a model slower by a given share, for real: nodes that only burn time join its output.

A vector that depends on the input (so nothing can be folded) goes through `Sin`, its sum times zero
is added to the first output. The vector's length is found by timing both models in turns, in
sessions opened anew, with a bare `session.run` loop.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

_TRIALS, _ROUNDS, _SLICE_S = 6, 12, 0.03
_FIRST_LENGTH = 8192


def plant(model: Path, to: Path, share: float, shape: tuple[int, ...]) -> float:
    """Write `model`, slower by `share`, to `to` and return the share measured."""
    length, measured = _FIRST_LENGTH, 0.0
    for _ in range(4):
        _write(model, to, length)
        measured = _slower_by(model, to, shape)
        print(f"a vector of {length} makes it {measured:.2%} slower", flush=True)
        if abs(measured - share) < 0.002:
            break
        length = max(16, int(length * share / max(measured, 1e-3)))
    return measured


def _write(model: Path, to: Path, length: int) -> None:
    proto = onnx.load(model)
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    x = next(value.name for value in graph.input if value.name not in weights)
    y = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before_burning" if name == y else name for name in node.output]
        node.input[:] = ["before_burning" if name == y else name for name in node.input]
    constants = {
        "burn_zero": np.zeros((), np.float32),
        "burn_vector": np.linspace(0, 1, length, dtype=np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    graph.node.extend(
        [
            helper.make_node("ReduceMax", [x], ["burn_max"], keepdims=0),
            helper.make_node("Mul", ["burn_max", "burn_zero"], ["burn_nothing"]),
            helper.make_node("Add", ["burn_vector", "burn_nothing"], ["burn_input"]),
            helper.make_node("Sin", ["burn_input"], ["burn_output"]),
            helper.make_node("ReduceMax", ["burn_output"], ["burn_top"], keepdims=0),
            helper.make_node("Mul", ["burn_top", "burn_zero"], ["burn_end"]),
            helper.make_node("Add", ["before_burning", "burn_end"], [y]),
        ]
    )
    onnx.save(proto, to)


def _slower_by(model: Path, other: Path, shape: tuple[int, ...]) -> float:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    ratios = []
    for _ in range(_TRIALS):
        sessions = [_open(file) for file in (model, other)]
        for number in range(_ROUNDS):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            medians = {at: _median_s(sessions[at], x) for at in order}
            ratios.append(medians[1] / medians[0])
    return float(np.median(ratios)) - 1


def _open(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _median_s(session: onnxruntime.InferenceSession, x: np.ndarray) -> float:
    taken: list[float] = []
    name, until = session.get_inputs()[0].name, time.perf_counter() + _SLICE_S
    while len(taken) < 4 or time.perf_counter() < until:
        start = time.perf_counter()
        session.run(None, {name: x})
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))
