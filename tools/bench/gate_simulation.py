"""The gate's error rates by simulation, on the very code that rules.

    python tools/bench/gate_simulation.py [--trials 1000]

A block is four processes A B B A. Each process has a speed of its own (lognormal, the spread
between processes), all drift by up to 5% over a block, and every round scatters by 1%. What is
measured is looked at after 5, 10, 15, 20 and 30 blocks. For budgets on a percentile each process
gives 100 samples, and the spread is between all processes or, as on real devices, between blocks.

false alarm: a true ratio of 1.03, the limit itself, fails (regressions), or a percentile at its
budget fails. false pass: the same passes. Nominal: 1% for regressions, 5% for budgets.
"""

from __future__ import annotations

import argparse

import numpy as np

from edgekit import judging, statistics
from edgekit.measurement import Block, Measurement, Memory, Role, Run, Setup
from edgekit.release import Budget

SPREADS = (0.0, 0.01, 0.02, 0.05)
DRIFTS = (0.0, 0.05)
_ROUNDS, _SCATTER = 2, 0.01
_MEMORY = Memory(peak_bytes=None, runtime_bytes=None, weights_bytes=None, arena_bytes=None)
_SETUP = Setup(target="", device="simulated", runtime="", threads=1, batch=1, shapes={})
_ROLES: tuple[Role, ...] = ("original", "candidate", "candidate", "original")
_SAMPLES = 100


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    print(
        "regression: spread | drift | +3%: fails, passes | 0%: passes, blocks | +5%: fails, "
        "passes, blocks"
    )
    for spread in SPREADS:
        for drift in DRIFTS:
            limit, same, slower = (
                regression_rates(ratio, spread, drift, trials) for ratio in (1.03, 1.0, 1.05)
            )
            print(
                f"{spread:.0%} | {drift:.0%} | {limit[0]:.2%}, {limit[1]:.2%} | {same[1]:.2%}, "
                f"{same[2]:.1f} | {slower[0]:.2%}, {slower[1]:.2%}, {slower[2]:.1f}",
                flush=True,
            )
    print("p95: spread | between | at its budget: fails, passes | a tenth below: passes, blocks")
    for spread in SPREADS:
        for of_blocks, between in ((False, "processes"), (True, "blocks")):
            at, below = (
                percentile_rates(limit, spread, max(1, trials // 2), of_blocks=of_blocks)
                for limit in (1.0, 1 / 0.9)
            )
            print(
                f"{spread:.0%} | {between} | {at[0]:.2%}, {at[1]:.2%} | {below[1]:.2%}, "
                f"{below[2]:.1f}",
                flush=True,
            )


def regression_rates(
    ratio: float, spread: float, drift: float, trials: int, seed: int = 1
) -> tuple[float, float, float]:
    """Return the shares of trials that fail and pass, and the blocks used in the mean."""
    random = np.random.default_rng(seed)
    budgets = judging.regression_budgets()
    rulings, used = [], []
    for _ in range(trials):
        blocks: list[Block] = []
        for look in statistics.LOOKS:
            while len(blocks) < look:
                blocks.append(_block(random, ratio, spread, drift, len(blocks)))
            if judging.settled(blocks, budgets):
                break
        rulings.append(judging.overall(judging.regression(_measurement(blocks))))
        used.append(len(blocks))
    return rulings.count("fail") / trials, rulings.count("pass") / trials, float(np.mean(used))


def percentile_rates(
    limit: float, spread: float, trials: int, seed: int = 1, *, of_blocks: bool = False
) -> tuple[float, float, float]:
    """Return the shares of trials that fail and pass, and the blocks used in the mean.

    The budget is `limit` times the true p95 of all processes that there could be.
    """
    random = np.random.default_rng(seed)
    every = np.concatenate([_latencies(random, random.normal(0, spread)) for _ in range(20_000)])
    seconds = limit * float(np.quantile(every, 0.95))
    budget = Budget(metric="latency.p95", limit=seconds, confidence=0.95, text="p95")
    rulings, used = [], []
    for _ in range(trials):
        blocks: list[Block] = []
        for look in statistics.LOOKS:
            while len(blocks) < look:
                own = random.normal(0, spread, 1 if of_blocks else 4) * np.ones(4)
                runs = (
                    _run(role, (tuple(_latencies(random, effect)),))
                    for role, effect in zip(_ROLES, own, strict=True)
                )
                blocks.append(Block(index=len(blocks), runs=tuple(runs)))
            if judging.settled(blocks, [budget]):
                break
        figure = judging.estimate("latency.p95", _measurement(blocks), confidence=0.95)
        rulings.append(judging.check(budget, figure).ruling)
        used.append(len(blocks))
    return rulings.count("fail") / trials, rulings.count("pass") / trials, float(np.mean(used))


def _latencies(random: np.random.Generator, own: float) -> np.ndarray:
    """Return what a process of the speed exp(`own`) shows, s."""
    found: np.ndarray = 0.001 * np.exp(own + random.normal(0, 0.05, _SAMPLES))
    return found


def _block(
    random: np.random.Generator, ratio: float, spread: float, drift: float, index: int
) -> Block:
    """Rounds are in the order A B B A, every other one backwards; the device drifts all along."""
    own = random.normal(0, spread, 4) + np.log([1, ratio, ratio, 1])
    places = np.arange(4 * _ROUNDS).reshape(_ROUNDS, 4)
    places[1::2] = places[1::2, ::-1]
    drifted = drift * random.uniform(-1, 1) * places.T / places.size
    logs = own[:, None] + drifted + random.normal(0, _SCATTER, (4, _ROUNDS))
    runs = (
        _run(role, tuple((float(s),) for s in seconds))
        for role, seconds in zip(_ROLES, 0.001 * np.exp(logs), strict=True)
    )
    return Block(index=index, runs=tuple(runs))


def _run(role: Role, rounds: tuple[tuple[float, ...], ...]) -> Run:
    return Run(
        role=role,
        rounds=rounds,
        first_s=0.002,
        load_s=0.1,
        warmup_iterations=1,
        settled=True,
        memory=_MEMORY,
    )


def _measurement(blocks: list[Block]) -> Measurement:
    return Measurement(
        candidate="candidate",
        sha256="1",
        size_bytes=1,
        original_sha256="0",
        original_size_bytes=1,
        setup=_SETUP,
        blocks=tuple(blocks),
    )


if __name__ == "__main__":
    main()
