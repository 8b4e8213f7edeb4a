"""Which candidate is shipped."""

from __future__ import annotations

import re

import pytest

from edgekit.judging import choose, judge, score
from edgekit.release import Budget

DEFAULT = ("accuracy.drop<=0.5pt", "latency.p50.ratio<=1.0")


def decide(measurements, *, objective="latency.p50", budgets=DEFAULT):
    limits = [Budget.parse(text) for text in budgets]
    return choose(measurements, [judge(item, limits) for item in measurements], objective)


@pytest.fixture
def rivals(make):
    """The original, a faster one and the fastest; the slower of both is the smaller."""
    good = make.accuracy(lost=3, gained=3)
    original = make.measurement(
        candidate="original", sha256="a" * 64, size_bytes=1_000_000, blocks=make.blocks(5, 1.0)
    )
    first = make.measurement(
        candidate="first",
        sha256="c" * 64,
        size_bytes=100_000,
        blocks=make.blocks(10, 0.7),
        accuracy=good,
    )
    second = make.measurement(
        candidate="second",
        sha256="d" * 64,
        size_bytes=400_000,
        blocks=make.blocks(10, 0.5),
        accuracy=make.accuracy(lost=6, gained=3),
    )
    return [original, first, second]


@pytest.fixture
def wrong(make):
    """The fastest of all, which loses too many answers."""
    return make.measurement(
        candidate="wrong",
        sha256="e" * 64,
        blocks=make.blocks(10, 0.2),
        accuracy=make.accuracy(lost=100, gained=0),
    )


@pytest.mark.parametrize(
    ("objective", "chosen"),
    [
        ("latency.p50", "second"),
        ("latency.p95", "second"),
        ("latency.p50.ratio", "second"),
        ("size", "first"),
        ("accuracy", "first"),
        ("accuracy.drop", "first"),
        ("throughput", "second"),
        ({"latency.p50": 1.0, "size": 0.05}, "second"),
        ({"latency.p50": 1.0, "size": 1.0}, "first"),
    ],
)
def test_the_objective_decides_among_those_that_pass(rivals, objective, chosen):
    choice = decide(rivals, objective=objective)
    assert choice.candidate == chosen
    assert "keeps every budget" in choice.reason


def test_a_better_candidate_that_breaks_a_budget_is_not_chosen(rivals, wrong):
    assert decide([*rivals, wrong]).candidate == "second"
    choice = decide([rivals[0], wrong])
    assert choice.candidate == "original"
    assert "wrong breaks accuracy.drop<=0.5pt" in choice.reason


def test_of_none_that_may_ship_the_nearest_is_told_with_the_limit_that_it_keeps(rivals, wrong):
    budgets = ("accuracy.drop<=0.5pt", "latency.p50.ratio<=0.4")
    choice = decide([*rivals, wrong], budgets=budgets)
    assert choice.candidate == "original"
    told = re.search(
        r"second comes nearest: --budget '(latency\.p50\.ratio<=0\.5\d)'", choice.reason
    )
    assert told, choice.reason
    assert decide([*rivals, wrong], budgets=(budgets[0], told[1])).candidate == "second"


def test_a_pass_comes_before_a_faster_one_that_is_open(rivals, make):
    unjudged = make.measurement(candidate="open", sha256="e" * 64, blocks=make.blocks(10, 0.2))
    assert decide([*rivals, unjudged]).candidate == "second"
    choice = decide([rivals[0], unjudged])
    assert choice.candidate == "open"
    assert "not every one is settled" in choice.reason


def test_a_slower_one_is_never_chosen_for_its_speed(rivals, make):
    slower = make.measurement(
        candidate="slower",
        sha256="e" * 64,
        blocks=make.blocks(10, 1.2),
        accuracy=make.accuracy(),
    )
    choice = decide([rivals[0], slower], budgets=("accuracy.drop<=0.5pt",))
    assert choice.candidate == "original"
    assert "betters the original" in choice.reason


def test_one_that_is_not_proved_faster_gives_way_to_the_original(rivals, make):
    same = make.measurement(
        candidate="same", sha256="e" * 64, blocks=make.blocks(5, 1.0), accuracy=make.accuracy()
    )
    choice = decide([rivals[0], same])
    assert choice.candidate == "original"
    assert "same is not proved better" in choice.reason


def test_without_a_device_the_smallest_that_breaks_nothing_is_offered(make):
    items = [
        make.measurement(
            candidate=name,
            sha256=name[0] * 64,
            size_bytes=size,
            device=None,
            accuracy=make.accuracy(simulated=True, lost=lost, gained=0),
        )
        for name, size, lost in (("a", 900_000, 0), ("fp16", 500_000, 0), ("int8", 300_000, 1))
    ]
    choice = decide(items)
    assert choice.candidate == "int8"
    assert "nothing was timed" in choice.reason


def test_on_a_busy_machine_it_is_offered_unsettled_rather_than_dropped(rivals, make):
    busy = make.measurement(
        candidate="busy",
        sha256="e" * 64,
        size_bytes=200_000,
        blocks=make.blocks(7, 0.5, disturbed=("busy: others took 55% of the processors",)),
        accuracy=make.accuracy(lost=3, gained=3),
    )
    choice = decide([rivals[0], busy])
    assert choice.candidate == "busy"
    assert "not every one is settled" in choice.reason


def test_nothing_changed_means_the_original(rivals):
    choice = decide(rivals[:1])
    assert (choice.candidate, choice.reason) == ("original", "no step changed the model")


def test_the_score_is_a_sum_of_logarithms(rivals):
    second = rivals[2]
    speed, size = score(second, "latency.p50"), score(second, "size")
    assert speed == pytest.approx(-0.693, abs=0.02)
    assert score(second, {"latency.p50": 2.0, "size": 0.5}) == pytest.approx(2 * speed + 0.5 * size)
    assert score(second, "energy") is None
