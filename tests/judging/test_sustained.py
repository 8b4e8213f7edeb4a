"""The steady state of sustained runs whose course is known."""

import numpy as np
import pytest

from edgekit.judging import estimate, judge, steady
from edgekit.measurement import Energy, EnergyPass, Sustained, Window
from edgekit.release import Budget


def sustained(medians_s, *, window_s=1.0, heats=None, clocks=None):
    return Sustained(
        seconds=window_s * len(medians_s),
        window_s=window_s,
        windows=tuple(
            Window(
                at_s=window_s * at,
                inferences=100,
                p50_s=float(median),
                p95_s=float(median) * 1.1,
                samples=(float(median),),
                temperature_c=None if heats is None else {"zone0 cpu": float(heats[at])},
                frequency_hz=None if clocks is None else float(clocks[at]),
            )
            for at, median in enumerate(medians_s)
        ),
    )


def throttling(seed, *, number=300, fast_s=0.010, slow_s=0.021, begins=60, noise=0.02):
    """Fast at first; then the device slows down over a minute and stays."""
    at = np.arange(number)
    share = np.clip((at - begins) / 60, 0, 1)
    scatter = 1 + noise * np.random.default_rng(seed).standard_normal(number)
    return (fast_s + (slow_s - fast_s) * share) * scatter


@pytest.mark.parametrize("seed", range(5))
def test_a_device_that_slows_down_by_half_is_told_by_its_steady_state(make, seed):
    run = sustained(throttling(seed))
    found = estimate("latency.sustained", make.measurement(sustained=run), confidence=0.999)
    assert found.interval.low <= 0.021 <= found.interval.high
    assert found.interval.high - found.interval.low < 0.0005
    state = steady(run)
    assert 100 <= state.start <= 150
    assert state.steady_s / state.first_s == pytest.approx(2.1, rel=0.03)
    assert "times the first moments" in found.evidence


def test_a_steady_device_is_steady_from_the_start(make):
    run = sustained(0.01 * (1 + 0.01 * np.random.default_rng(0).standard_normal(200)))
    assert steady(run).start == 0
    found = estimate("latency.sustained", make.measurement(sustained=run)).interval
    assert found.low < 0.01 < found.high


def test_the_interval_holds_as_often_as_it_says(make):
    """Windows resemble their neighbours (autocorrelation 0.6): each bound is wrong in 5 to 7 %."""
    random = np.random.default_rng(3)
    missed = [0, 0]
    for _ in range(300):
        noise = np.zeros(200)
        for at in range(1, 200):
            noise[at] = 0.6 * noise[at - 1] + 0.01 * random.standard_normal()
        run = sustained(0.01 * np.exp(noise))
        found = estimate("latency.sustained", make.measurement(sustained=run)).interval
        missed[0] += found.low > 0.01
        missed[1] += found.high < 0.01
    assert max(missed) <= 0.10 * 300


def test_what_still_changes_is_not_steady(make):
    run = sustained(np.linspace(0.01, 0.02, 100))
    found = estimate("latency.sustained", make.measurement(sustained=run))
    assert found.interval is None
    assert "not steady" in found.evidence
    assert steady(run).start is None


def test_a_short_run_has_no_steady_state(make):
    found = estimate("latency.sustained", make.measurement(sustained=sustained([0.01] * 19)))
    assert found.interval is None
    assert "too few" in found.evidence


def test_a_budget_can_name_it(make):
    measurement = make.measurement(sustained=sustained(throttling(0)))
    limits = [Budget.parse("latency.sustained<=12ms"), Budget.parse("latency.sustained<=25ms")]
    assert [check.ruling for check in judge(measurement, limits).checks] == ["fail", "pass"]
    close = judge(measurement, [Budget.parse("latency.sustained<=21ms")]).checks[0]
    assert close.ruling == "inconclusive"
    assert "longer" in close.reason
    nothing = judge(make.measurement(), limits).checks[0]
    assert nothing.ruling == "inconclusive"
    assert "--sustain" in nothing.reason


def passes(joules, disturbed=()):
    return Energy(
        sensor="INA3221 VDD_IN",
        passes=tuple(
            EnergyPass(
                joules=value,
                idle_w=3.0,
                busy_w=5.0,
                updates=120,
                inferences=100,
                disturbed=("throttled: x",) if at in disturbed else (),
            )
            for at, value in enumerate(joules)
        ),
    )


def test_energy_has_an_interval_over_passes(make):
    measurement = make.measurement(energy=passes([0.0100, 0.0102, 0.0101, 0.0099, 0.0098]))
    found = estimate("energy", measurement)
    assert found.interval.low < 0.01 < found.interval.high
    assert "INA3221 VDD_IN, 5 passes" in found.evidence
    limits = [Budget.parse("energy<=11mJ"), Budget.parse("energy<=9mJ")]
    assert [check.ruling for check in judge(measurement, limits).checks] == ["pass", "fail"]


def test_disturbed_passes_do_not_count(make):
    found = estimate("energy", make.measurement(energy=passes([1.0, 2.0, 3.0], disturbed={0})))
    assert found.interval.value == 2.5
    assert "1 of 3 passes were disturbed" in found.evidence
    found = estimate("energy", make.measurement(energy=passes([1.0, 2.0], disturbed={0})))
    assert found.interval is None
