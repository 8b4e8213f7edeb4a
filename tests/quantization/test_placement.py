import itertools

import numpy as np
import pytest

from edgekit import target as targets
from edgekit.measurement import Interval
from edgekit.quantization.loss import Loss, loss_between
from edgekit.quantization.placement import (
    Search,
    eligible_units,
    placement_by_facts,
    presets,
    refined,
)
from edgekit.quantization.plan import QuantizationPlan, Unit
from edgekit.quantization.sensitivity import trimmed

KINDS = ("stem", "depthwise", "pointwise", "dense", "add", "pool", "matmul", "gemm") * 3


def unit(index, kind):
    weighted = kind not in ("add", "pool")
    return Unit(
        name=f"u{index}",
        kind=kind,
        node=f"n{index}",
        folded=None,
        inputs=(f"t{index}",),
        output=f"t{index + 1}",
        weight=1 if weighted else None,
        channels=64 if weighted else 0,
        macs=100,
    )


UNITS = tuple(unit(index, kind) for index, kind in enumerate(KINDS))
PLAN = QuantizationPlan(ranges={}, means={}, units=UNITS, skips=())
X86 = targets.load("x86")


def machine(gain):
    """Latency that each int8 unit changes by `gain[name]`, plus 1% a border."""

    def measure(sets):
        found = []
        for units in sets:
            borders = sum(
                (one.name in units) != (other.name in units)
                for one, other in itertools.pairwise(UNITS)
            )
            value = 1.0 + sum(gain[name] for name in units) + 0.002 * borders
            found.append(Interval(low=value * 0.99, value=value, high=value * 1.01))
        return found

    return measure


def test_presets_are_different_runnable_and_not_empty():
    found = presets(PLAN, X86)
    assert len(set(found)) == len(found) >= 5
    assert all(found)
    assert found[0] == {one.name for one in UNITS}


def test_transposed_convolutions_are_for_tensorrt_only():
    plan = QuantizationPlan(ranges={}, means={}, units=(unit(0, "transposed"),), skips=())
    assert eligible_units(plan, X86) == ()
    assert len(eligible_units(plan, targets.load("jetson"))) == 1


def test_without_measuring_the_targets_facts_decide():
    slow = {one.name for one in UNITS if one.kind in X86.slow_in_int8}
    assert placement_by_facts(PLAN, X86) == {one.name for one in UNITS} - slow
    search = Search(measure=lambda _sets: None)
    assert search.fastest(presets(PLAN, X86)) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_what_pays(seed):
    rng = np.random.default_rng(seed)
    gain = {one.name: float(rng.choice([-0.03, 0.03])) for one in UNITS}
    search = Search(measure=machine(gain))
    start = search.fastest(presets(PLAN, X86))
    best = refined(search, UNITS, start)
    measure = machine(gain)
    least = 1.0 + sum(min(0.0, value) for value in gain.values())
    first, last = (interval.value for interval in measure([start, best]))
    assert last <= first
    assert last < 1.0
    assert last - least < 0.6 * (first - least) + 0.1
    assert len(search.tried) <= search.most + 3


def test_the_search_measures_within_its_bound():
    search = Search(measure=machine(dict.fromkeys((one.name for one in UNITS), -0.01)), most=12)
    refined(search, UNITS, search.fastest(presets(PLAN, X86)))
    assert len(search.tried) <= 12


def losses(noise):
    def of(sets):
        found = []
        for units in sets:
            power = sum(noise[name] for name in units)
            level = -10 * np.log10(power) if power else np.inf
            found.append(Loss(sqnr_db=level, flips_pt=100 * power))
        return found

    return of


def test_the_noisiest_units_go_until_the_outputs_are_kept():
    noise = {one.name: 1e-5 for one in UNITS} | {"u2": 1e-1, "u7": 1e-2}
    every = frozenset(noise)
    found = trimmed(UNITS, every, losses(noise), min_sqnr_db=30)
    assert found.enabled == every - {"u2", "u7"}
    assert found.loss.sqnr_db >= 30
    assert {skip.where for skip in found.skips} == {"u2", "u7"}
    assert "too noisy" in found.skips[0].reason


def test_of_two_ways_to_be_exact_enough_the_faster_one_is_taken():
    """u2 alone is the noisiest, but int8 saves most there: u7 and u8 go instead."""
    noise = {one.name: 1e-6 for one in UNITS} | {"u2": 9e-4, "u7": 6e-4, "u8": 6e-4}
    every = frozenset(noise)
    saves = {one.name: 1e-6 for one in UNITS} | {"u2": 9e-5, "u7": 2e-5, "u8": 2e-5}

    def gains(units, names):
        assert units == every
        assert set(names) >= {"u2", "u7", "u8"}
        return {name: saves[name] for name in names}

    found = trimmed(UNITS, every, losses(noise), min_sqnr_db=28.5, gains_of=gains)
    assert found.enabled >= {"u2"}
    assert {skip.where for skip in found.skips} == {"u7", "u8"}
    assert "20.0 us that int8 saves" in found.skips[0].reason
    assert found.loss.sqnr_db >= 28.5
    without = trimmed(UNITS, every, losses(noise), min_sqnr_db=28.5)
    assert "u2" not in without.enabled


def test_without_measured_gains_the_noisiest_go():
    noise = {one.name: 1e-5 for one in UNITS} | {"u2": 1e-1, "u7": 1e-2}
    args = (UNITS, frozenset(noise), losses(noise))
    plain = trimmed(*args, min_sqnr_db=30)
    assert trimmed(*args, min_sqnr_db=30, gains_of=lambda _units, _names: {}) == plain


def test_quiet_units_all_stay():
    noise = {one.name: 1e-6 for one in UNITS}
    found = trimmed(UNITS, frozenset(noise), losses(noise), min_sqnr_db=30)
    assert found.enabled == frozenset(noise)
    assert found.skips == ()


def test_a_limit_for_each_unit():
    noise = {one.name: 1e-6 for one in UNITS} | {"u3": 1e-3}
    found = trimmed(UNITS, frozenset(noise), losses(noise), min_sqnr_db=10, max_unit_drop_pt=0.05)
    assert {skip.where for skip in found.skips} == {"u3"}


def test_no_set_is_good_enough():
    noise = {one.name: 10.0 for one in UNITS}
    found = trimmed(UNITS, frozenset(noise), losses(noise), min_sqnr_db=30)
    assert found.enabled == frozenset()
    assert len(found.skips) == len(UNITS)


def test_foretold_flips_match_counted_ones():
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((4000, 1, 10))
    noisy = exact + 0.05 * rng.standard_normal(exact.shape)
    found = loss_between([[row] for row in exact], [[row] for row in noisy])
    counted = 100 * float(np.mean(exact.argmax(-1) != noisy.argmax(-1)))
    assert found.flips_pt == pytest.approx(counted, rel=0.2)
    assert found.sqnr_db == pytest.approx(26.0, abs=0.3)


def test_sure_probabilities_do_not_hide_noise():
    rng = np.random.default_rng(0)
    logits = 20 * rng.standard_normal((50, 1, 5))

    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    noisy = logits + rng.standard_normal(logits.shape)
    found = loss_between([[row] for row in softmax(logits)], [[row] for row in softmax(noisy)])
    assert found.sqnr_db == pytest.approx(26.0, abs=1.5)


def test_equal_outputs_lose_nothing():
    rows = [[np.ones((1, 3), np.float32)]]
    assert loss_between(rows, rows) == Loss(sqnr_db=np.inf, flips_pt=0.0)
