"""The gate's error rates on simulated blocks, by the very code that rules."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edgekit.measurement import Block

TOOLS = Path(__file__).parents[2] / "tools/bench"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation, rates = tool("gate_simulation"), tool("gate_rates")


def at_most(count, trials, nominal):
    """Say whether `count` of `trials` can be of a rate of at most `nominal` (99.9 %)."""
    return count <= stats.binom.ppf(0.999, trials, nominal)


@pytest.mark.slow
@pytest.mark.parametrize("drift", simulation.DRIFTS)
@pytest.mark.parametrize("spread", simulation.SPREADS)
def test_false_alarms_of_regressions_are_within_nominal(spread, drift):
    trials = 1000
    fails, passes, _ = simulation.regression_rates(1.03, spread, drift, trials)
    assert at_most(fails * trials, trials, 0.01)
    assert at_most(passes * trials, trials, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("of_blocks", [False, True])
@pytest.mark.parametrize("spread", simulation.SPREADS)
def test_budgets_on_a_percentile_are_wrong_within_nominal(spread, of_blocks):
    trials = 300
    fails, passes, _ = simulation.percentile_rates(1.0, spread, trials, of_blocks=of_blocks)
    assert at_most(fails * trials, trials, 0.05)
    assert at_most(passes * trials, trials, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "power"), [(0.0, 0.99), (0.01, 0.99), (0.02, 0.9)])
def test_five_percent_slower_is_found(spread, power):
    fails, passes, blocks = simulation.regression_rates(1.05, spread, 0.05, 300)
    assert fails >= power
    assert passes == 0
    assert blocks <= 20


def test_the_spread_of_blocks_is_told_from_that_of_their_processes(make):
    random = np.random.default_rng(0)
    blocks = []
    for index in range(400):
        level = 0.01 * np.exp(0.06 * random.standard_normal())
        own = level * np.exp(0.02 * random.standard_normal(4))
        roles = ("original", "candidate", "candidate", "original")
        runs = tuple(make.run(r, s, noise=0.0) for r, s in zip(roles, own, strict=True))
        blocks.append(Block(index=index, runs=runs))
    between, within = rates.levels(blocks)
    assert (between, within) == (pytest.approx(0.06, rel=0.15), pytest.approx(0.02, rel=0.15))


def test_recorded_blocks_are_gated_by_windows(tmp_path):
    random = np.random.default_rng(0)
    kinds, medians = [], []
    for kind, ratio in (("same", 1.0), ("slower", 1.05)):
        for _ in range(40):
            logs = 0.005 * random.standard_normal((4, 12)) + np.log([1, ratio, ratio, 1])[:, None]
            kinds.append(kind)
            medians.append(0.001 * np.exp(logs))
    disturbed = np.zeros(80, bool)
    disturbed[:3] = True
    file = tmp_path / "record.npz"
    np.savez(file, kind=kinds, medians_s=medians, disturbed=disturbed, planted=[0.05])
    blocks, planted = rates.recorded(file)
    assert planted == 0.05
    assert [len(blocks["same"]), len(blocks["slower"])] == [37, 40]
    for kind in blocks:
        for windows in (rates._drawn(37, 6), rates._neighbours(37)):
            found = rates.rates_of(kind, blocks, windows)
            assert found.windows in {6, 3}
            assert rates.claimed(kind, found), found
    floor = rates.rates_of("slower", blocks, rates._drawn(37, 6), most=4)
    assert (floor.fails, floor.passes) == (0, 0)
