"""Mode `screen`: one process, many models, a cheap comparison.

The sessions take turns in short slices; every other round runs backwards. Cheaper than blocks and
good enough to search with; a verdict is never based on it. They share their threads.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Tuple

import numpy as np

from . import limits
from .inputs import feeds_for
from .session import prepare
from .state import choose_cpus
from .timing import Loop, batch_for, timer_cost_ns
from .wire import AgentError, Channel

_LEAST = 3
_WARM_UP_S = 0.05
_SLICE_S = 0.02
_FEWEST_ROUNDS = 8
_PATIENCE_S = 120


def screen(spec: Dict[str, Any], channel: Channel) -> None:
    """Answer with the median latency of each model in each round.

    Spec: `models` and, for all of them, what `infer` takes; `seconds_each`.
    """
    opens = prepare({**spec, "together": True})
    limits.keep_to_memory(spec["providers"])
    cpus = choose_cpus(spec["threads"])
    if cpus:
        os.sched_setaffinity(0, cpus)
    loops, slices_s = [], []
    for at, model in enumerate(spec["models"]):
        limits.expect_within(_PATIENCE_S)
        loop, typical_ns = _warm(opens, model, at, spec)
        loops.append(loop)
        slices_s.append(max(_SLICE_S, (_LEAST + 1) * typical_ns / 1e9))
    rounds = max(_FEWEST_ROUNDS, int(spec["seconds_each"] * len(loops) / sum(slices_s)) // 2 * 2)
    medians: List[List[float]] = [[] for _ in loops]
    for number in range(rounds):
        order = range(len(loops)) if number % 2 == 0 else range(len(loops) - 1, -1, -1)
        for at in order:
            limits.expect_within(_PATIENCE_S)
            taken = loops[at].slice_ns(_SLICE_S, _LEAST)
            medians[at].append(float(np.median(taken)))
        channel.send({"progress": [number + 1, rounds]})
    channel.send({"medians_ns": medians})


def _warm(opens: Any, model: str, at: int, spec: Dict[str, Any]) -> Tuple[Loop, float]:
    try:
        session = opens(model)
        loop = Loop(session.run, feeds_for(session.inputs, spec))
        loop.once_ns()
        typical = float(np.median(loop.slice_ns(_WARM_UP_S, _LEAST)))
    except AgentError as error:
        raise AgentError(error.kind, "model %d: %s" % (at, error)) from error
    except Exception as error:  # the runtime raises whatever it likes
        raise AgentError("model", "model %d does not run: %s" % (at, error)) from error
    loop.batched = batch_for(typical, timer_cost_ns())
    return loop, typical
