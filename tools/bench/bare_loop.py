"""A bare `session.run` loop: what the agent's figures are held against.

    python tools/bench/bare_loop.py MODEL THREADS CPU|any SHAPE   (SHAPE such as 1x1x28x28)

Each line `SECONDS` on standard input is answered with the latencies of so long a loop, in ns, at
least as many as the agent takes.
"""

import json
import os
import sys
from time import perf_counter_ns

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

_LEAST = 4

model, threads, cpu, shape = sys.argv[1:]
if cpu != "any":
    os.sched_setaffinity(0, {int(cpu)})
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
size = [int(axis) for axis in shape.split("x")]
x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
for line in sys.stdin:
    until = perf_counter_ns() + float(line) * 1e9
    taken: list[int] = []
    while len(taken) < _LEAST or perf_counter_ns() < until:
        start = perf_counter_ns()
        session.run(None, {name: x})
        taken.append(perf_counter_ns() - start)
    print(json.dumps(taken), flush=True)
