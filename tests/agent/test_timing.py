import numpy as np
import pytest

from edgekit.agent.timing import Loop, alike, batch_for, timer_cost_ns, warm_up


def noisy(mean, spread, count=20, seed=0):
    return (mean + spread * np.random.default_rng(seed).standard_normal(count)).tolist()


def test_two_windows_of_a_warm_process_are_alike():
    assert alike(noisy(1000, 5), noisy(1001, 5, seed=1))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ([3000.0, *noisy(1000, 5, 19)], noisy(1000, 5)),  # its first value is an outlier
        (noisy(1200, 5), noisy(1000, 5)),  # still getting faster
        (noisy(1000, 30), noisy(1000, 300)),  # no longer steady
        (noisy(1070, 5), noisy(1000, 5)),  # quartiles 7% apart, means within 10%
    ],
)
def test_windows_of_a_cold_or_unsteady_process_are_not(earlier, later):
    assert not alike(earlier, later)


@pytest.mark.parametrize(
    ("typical_ns", "batched"), [(1e6, 1), (50_000, 1), (49_999, 2), (10_000, 8), (100, 512)]
)
def test_a_sample_is_a_thousand_timer_costs_long(typical_ns, batched):
    assert batch_for(typical_ns, timer_ns=50) == batched


def test_reading_the_timer_costs_something():
    assert 1 <= timer_cost_ns() < 1e6


def test_the_loop_rotates_its_feeds_and_drops_the_first_of_a_slice():
    seen = []
    loop = Loop(seen.append, ["a", "b", "c"])
    assert len(loop.slice_ns(0, 4)) == 4
    assert seen == ["a", "b", "c", "a", "b"]
    loop.slice_ns(0, 1)
    assert seen[5:] == ["c", "a"]


def test_a_batched_sample_counts_once_and_is_divided():
    seen = []
    loop = Loop(seen.append, ["a", "b"])
    loop.batched = 8
    assert len(loop.slice_ns(0, 3)) == 3
    assert seen == ["a"] * 8 + ["b"] * 8 + ["a"] * 8 + ["b"] * 8


def test_warming_up_gives_up_at_a_cap_and_says_so(monkeypatch):
    from edgekit.agent import timing

    monkeypatch.setattr(timing, "alike", lambda *_: False)
    warm = warm_up(Loop(lambda _feed: None, ["a"]))
    assert not warm.settled
    assert warm.iterations > 0


def test_warming_up_ends_when_two_windows_are_alike(monkeypatch):
    from edgekit.agent import timing

    monkeypatch.setattr(timing, "alike", lambda *_: True)
    assert warm_up(Loop(lambda _feed: None, ["a"])).settled
