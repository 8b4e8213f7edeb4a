"""Stopping early, regressions, and the error rates that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.judging import judge, regression, regression_budgets, regressions, settled
from edgekit.judging.timing import LOOKS
from edgekit.measurement import Block, Memory, Run
from edgekit.release import Budget

NO_MEMORY = Memory(peak_bytes=None, runtime_bytes=None, weights_bytes=None, arena_bytes=None)


def test_measuring_stops_at_the_first_look_that_settles_every_ratio(make):
    blocks = make.blocks(30, 0.5)
    clear, close = Budget.parse("latency.p50.ratio<=0.6"), Budget.parse("latency.p50.ratio<=0.5")
    assert [settled(blocks[:k], [clear]) for k in (0, 4, 5, 6, 10)] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert not settled(blocks[:5], [clear, close])
    assert settled(blocks[:30], [clear, close])


def test_a_clear_failure_stops_too(make):
    assert settled(make.blocks(5, 2.0), [Budget.parse("latency.p50.ratio<=0.6")])


@pytest.mark.parametrize(
    "text", ["accuracy.drop<=0.5pt", "size<=1MB", "energy<=1J", "latency.sustained<=1ms"]
)
def test_what_does_not_rest_on_blocks_needs_but_the_first_look(make, text):
    limits = [Budget.parse(text)]
    assert [settled(make.blocks(k), limits) for k in (4, 5)] == [False, True]


@pytest.mark.parametrize(
    ("clear", "close"),
    [
        ("latency.p95<=1ms", "latency.p95<=10.3ms"),
        ("latency.mean<=20ms", "latency.mean<=10ms"),
        ("throughput>=400/s", "throughput>=100/s"),
    ],
)
def test_a_limit_on_an_absolute_figure_is_measured_until_it_is_settled(make, clear, close):
    blocks = make.blocks(30)
    assert settled(blocks[:5], [Budget.parse(clear)], batch=1)
    assert not settled(blocks[:5], [Budget.parse(clear), Budget.parse(close)], batch=1)
    assert settled(blocks, [Budget.parse(close)], batch=1)


def test_throughput_is_settled_by_samples_not_inferences(make):
    limit = [Budget.parse("throughput>=400/s")]
    found = judge(make.measurement(blocks=make.blocks(5)), limit)
    assert (settled(make.blocks(5), limit, batch=4), found.ruling) == (False, "fail")


def test_memory_that_the_device_does_not_tell_keeps_nobody_waiting(make):
    blocks = make.blocks(5, peak_bytes=None)
    assert settled(blocks, [Budget.parse("memory.peak<=1GiB")])


def test_disturbed_blocks_do_not_make_a_look(make):
    blocks = (*make.blocks(4, 0.5), *make.blocks(1, 0.5, disturbed=("busy",)))
    assert not settled(blocks, [Budget.parse("latency.p50.ratio<=0.6")])


@pytest.mark.parametrize(
    ("ratio", "ruling"), [(1.0, "pass"), (0.6, "pass"), (1.1, "fail"), (1.03, "inconclusive")]
)
def test_a_regression_is_ruled_against_the_allowed_slowdown(make, ratio, ruling):
    measurement = make.measurement(blocks=make.blocks(10, ratio, noise=0.005))
    (check,) = regression(measurement)
    assert check.ruling == ruling
    assert check.budget.limit == pytest.approx(1.03)
    assert check.budget.confidence == pytest.approx(0.99)


def test_the_same_file_needs_no_blocks(make):
    (check,) = regression(make.measurement(sha256="a" * 64))
    assert check.ruling == "pass"
    assert "the same file" in check.reason


def test_without_blocks_a_regression_is_inconclusive(make):
    (check,) = regression(make.measurement())
    assert (check.ruling, check.needed) == ("inconclusive", 5)


def test_holm_doubts_a_weak_alarm_among_many_metrics(make):
    names = [f"latency.{s}.ratio" for s in ("p50", "p95", "p99", "mean")]
    doubted = 0
    for _ in range(40):
        measurement = make.measurement(blocks=make.blocks(5, 1.06, spread=0.008, noise=0.004))
        alone = [regression(measurement, metrics=[name])[0].ruling for name in names]
        together = [check.ruling for check in regression(measurement, metrics=names)]
        for one, all_ in zip(alone, together, strict=True):
            assert one == all_ or (one, all_) == ("fail", "inconclusive")
            doubted += one != all_
    assert doubted > 0


def test_an_original_that_differs_from_itself_voids_a_regression(make):
    measurement = make.measurement(
        blocks=make.blocks(10, 1.2), null_blocks=make.blocks(5, 1.1, spread=0.002)
    )
    (check,) = regression(measurement)
    assert check.ruling == "inconclusive"
    assert "null control failed" in check.reason


def test_a_regression_tells_the_smallest_slowdown_that_would_have_been_seen(make):
    (check,) = regression(make.measurement(blocks=make.blocks(10, 1.0, spread=0.01)))
    assert "would have failed in 9 of 10 cases" in check.reason


def test_holm_spans_the_devices_of_a_fleet(make):
    """An alarm that would do on one device alone is doubted among twenty devices at rest."""
    doubted = 0
    at_rest = make.measurement(blocks=make.blocks(5))
    for _ in range(15):
        weak = make.measurement(blocks=make.blocks(5, 1.06, spread=0.008, noise=0.004))
        alone = regression(weak)[0].ruling
        together = regressions((weak, *[at_rest] * 19))[0][0]
        assert (alone, together.ruling) in {
            (alone, alone),
            ("fail", "inconclusive"),
        }
        if alone != together.ruling:
            doubted += 1
            assert "20 comparisons (Holm)" in together.reason
    assert doubted > 0


def test_a_clear_slowdown_on_one_device_fails_whatever_the_others_say(make):
    slow = make.measurement(blocks=make.blocks(10, 1.3))
    found = regressions((slow, *(make.measurement(blocks=make.blocks(10)) for _ in range(3))))
    assert [check.ruling for (check,) in found] == ["fail", "pass", "pass", "pass"]


def sequential(random, ratio, spread, budget):
    """Rule as the pipeline does: look, stop when it is settled, rule on what is there."""
    differences = np.log(ratio) + spread * random.standard_normal(LOOKS[-1])
    blocks = tuple(block(index, value) for index, value in enumerate(differences))
    for look in LOOKS:
        if settled(blocks[:look], [budget]):
            return blocks[:look]
    raise AssertionError


def block(index, difference):
    def run(role, latency_s):
        return Run(
            role=role,
            rounds=((latency_s,),),
            first_s=1.0,
            load_s=1.0,
            warmup_iterations=0,
            settled=True,
            memory=NO_MEMORY,
        )

    a, b = run("original", 0.01), run("candidate", 0.01 * float(np.exp(difference)))
    return Block(index=index, runs=(a, b, b, a))


@pytest.mark.parametrize("trials", [200, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("confidence", "spread"), [(0.95, 0.02), (0.99, 0.02)])
def test_at_the_limit_itself_either_error_stays_within_the_promise(
    make, trials, confidence, spread
):
    """The worst case: the true ratio is the limit. Bounds are 4 standard errors wide."""
    budget = Budget.parse("latency.p50.ratio<=1.03", confidence=confidence)
    random = np.random.default_rng(1)
    rulings = [
        ruling_of(make, sequential(random, 1.03, spread, budget), budget) for _ in range(trials)
    ]
    promised = 1 - confidence
    tolerated = promised + 4 * np.sqrt(promised * (1 - promised) / trials)
    assert rulings.count("pass") / trials <= tolerated
    assert rulings.count("fail") / trials <= tolerated


def ruling_of(make, blocks, budget):
    return judge(make.measurement(blocks=blocks), [budget]).ruling


def test_no_change_passes_and_five_percent_fails(make):
    (budget,) = regression_budgets()
    random = np.random.default_rng(2)
    for ratio, expected in ((1.0, "pass"), (1.05, "fail")):
        rulings = [
            regression(make.measurement(blocks=sequential(random, ratio, 0.013, budget)))[0].ruling
            for _ in range(100)
        ]
        assert rulings.count(expected) >= 95
        assert set(rulings) <= {expected, "inconclusive"}
