import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import statistics
from edgekit.statistics import DELTA, LOOKS, look_confidence


def block(random, ratio, *, drift=0.0, rounds=12, samples=20):
    """Four runs of rounds that take turns while the device drifts linearly by `drift`."""
    runs = [[], [], [], []]
    turn, turns = 0, 4 * rounds
    for number in range(rounds):
        order = range(4) if number % 2 == 0 else range(3, -1, -1)
        for at in order:
            speed = (1 + drift * turn / turns) * (ratio if at in (1, 2) else 1.0)
            runs[at].append(speed * np.exp(0.02 * random.standard_normal(samples)))
            turn += 1
    return runs


@given(
    ratio=st.floats(0.2, 5.0),
    drift=st.floats(-0.3, 0.3),
    statistic=st.sampled_from(["p50", "mean", "p95"]),
)
def test_a_ratio_is_found_whatever_the_drift(ratio, drift, statistic):
    found = statistics.paired_log_ratio(
        block(np.random.default_rng(0), ratio, drift=drift), statistic
    )
    assert found == pytest.approx(math.log(ratio), abs=0.02)


def test_swapping_the_models_changes_the_sign():
    runs = block(np.random.default_rng(0), 1.3)
    swapped = [runs[1], runs[0], runs[3], runs[2]]
    found = statistics.paired_log_ratio(runs, "p50")
    assert statistics.paired_log_ratio(swapped, "p50") == pytest.approx(-found)


def test_a_disturbance_of_a_third_of_a_block_leaves_no_trace_in_the_median():
    runs = block(np.random.default_rng(0), 1.0)
    for number in range(4):
        runs[1][number] = 3 * runs[1][number]
    assert abs(statistics.paired_log_ratio(runs, "p50")) < 0.02


def test_what_could_be_seen_shrinks_with_the_spread():
    wide = statistics.smallest_detectable([0.02, -0.02, 0.01, -0.01], limit=1.03, confidence=0.99)
    narrow = statistics.smallest_detectable(
        [0.002, -0.002, 0.001, -0.001], limit=1.03, confidence=0.99
    )
    assert 1.03 < narrow < wide


def rulings(spread, ratio, trials, seed):
    """What a comparison ends with, and after how many blocks, over simulated comparisons."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        d = math.log(ratio) + spread * random.standard_normal(LOOKS[-1])
        for look in LOOKS:
            low, high = statistics.mean_bounds(d[:look], look_confidence(0.99))
            limit = math.log(1 + DELTA)
            ruling = "fail" if low > limit else "pass" if high < limit else "inconclusive"
            if ruling != "inconclusive":
                break
        found.append((ruling, look))
    return found


def share(found, ruling):
    return sum(each == ruling for each, _ in found) / len(found)


def test_the_same_model_passes_soon_and_a_slower_one_fails():
    same = rulings(0.013, 1.0, 300, seed=1)
    assert share(same, "pass") == 1.0
    assert sum(look for _, look in same) / len(same) < 10
    slower = rulings(0.013, 1.05, 300, seed=2)
    assert share(slower, "fail") > 0.98
    assert share(slower, "pass") == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.005, 0.013, 0.03])
def test_a_ratio_at_the_limit_passes_and_fails_in_one_case_of_a_hundred(spread):
    found = rulings(spread, 1 + DELTA, 6000, seed=3)
    assert 0.006 < share(found, "pass") < 0.014
    assert 0.006 < share(found, "fail") < 0.014
