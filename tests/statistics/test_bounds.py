import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgekit import statistics


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.95, [29, 59, 299, 2995]), (0.99, [44, 90, 459, 4603])]
)
def test_least_samples_are_those_of_the_table(confidence, expected):
    shares = (0.9, 0.95, 0.99, 0.999)
    assert [statistics.least_samples(share, confidence) for share in shares] == expected


@given(
    samples=st.lists(st.integers(0, 50), min_size=1, max_size=400),
    limit=st.integers(0, 50),
    share=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_upper_bound_keeps_a_limit_iff_mlperfs_rule_passes(samples, limit, share, confidence):
    overruns = sum(sample > limit for sample in samples)
    rule = stats.binom.cdf(overruns, len(samples), 1 - share) <= 1 - confidence
    assert (statistics.quantile_bounds(samples, share, confidence)[1] <= limit) == rule


@given(
    samples=st.lists(st.floats(0.001, 1), min_size=1, max_size=200),
    share=st.sampled_from([0.5, 0.9, 0.95]),
)
def test_quantile_bounds_mirror_when_samples_do(samples, share):
    low, high = statistics.quantile_bounds(samples, share, 0.95)
    mirrored = statistics.quantile_bounds([-sample for sample in samples], 1 - share, 0.95)
    assert mirrored == (-high, -low)


def test_few_samples_bound_nothing():
    assert statistics.quantile_bounds([1.0] * 58, 0.95, 0.95)[1] == math.inf
    assert statistics.quantile_bounds([1.0] * 59, 0.95, 0.95)[1] == 1.0


def groups_of(random, spread, *, groups=10, samples=200, scatter=0.05):
    own = random.normal(0, spread, (groups, 1))
    return 0.001 * np.exp(own + random.normal(0, scatter, (groups, samples)))


def test_groups_that_do_not_differ_bound_a_quantile_nearly_as_well_as_independent_samples():
    groups = groups_of(np.random.default_rng(0), 0.0)
    low, high = statistics.grouped_quantile_bounds(groups, 0.95, 0.95)
    least, most = statistics.quantile_bounds(groups.ravel(), 0.95, 0.95)
    assert low <= least < most <= high
    assert math.log(high / low) < 2 * math.log(most / least)


def test_groups_that_differ_bound_a_quantile_by_their_number_not_by_their_samples():
    random = np.random.default_rng(1)
    few, many = (
        np.mean(
            [
                np.diff(np.log(statistics.grouped_quantile_bounds(group, 0.95, 0.95)))
                for group in (groups_of(random, 0.05, samples=number) for _ in range(20))
            ]
        )
        for number in (100, 1600)
    )
    assert many > 0.7 * few
    more = statistics.grouped_quantile_bounds(groups_of(random, 0.05, groups=40), 0.95, 0.95)
    assert np.diff(np.log(more)) < 0.5 * few


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_true_quantile_lies_outside_the_grouped_bounds_as_seldom_as_promised(spread, share):
    random, trials = np.random.default_rng(2), 100
    true = 0.001 * math.exp(stats.norm.ppf(share) * math.hypot(spread, 0.05))
    found = [
        statistics.grouped_quantile_bounds(groups_of(random, spread), share, 0.95)
        for _ in range(trials)
    ]
    allowed = stats.binom.ppf(0.999, trials, 0.05)
    assert sum(high < true for _, high in found) <= allowed
    assert sum(low > true for low, _ in found) <= allowed


@settings(max_examples=30, deadline=None)
@given(
    groups=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=40), min_size=2, max_size=6),
    share=st.sampled_from([0.5, 0.9, 0.95]),
    factor=st.sampled_from([0.001, 1.0, 1000.0]),
)
def test_grouped_bounds_are_ordered_and_scale_with_the_samples(groups, share, factor):
    low, high = statistics.grouped_quantile_bounds(groups, share, 0.95)
    assert low <= high
    scaled = [[factor * sample for sample in group] for group in groups]
    assert statistics.grouped_quantile_bounds(scaled, share, 0.95) == pytest.approx(
        (factor * low, factor * high), rel=1e-6
    )


def test_two_groups_that_are_worlds_apart_bound_nothing():
    low, high = statistics.grouped_quantile_bounds([[1e-6] * 900, [1e3] * 900], 0.5, 0.95)
    assert low < 1e-12
    assert high > 1e12


def test_few_groups_bound_nothing_however_they_agree():
    steady = [[0.001] * 100, [0.001] * 100]
    assert statistics.effective_samples(200, 2, 0.95) < statistics.least_samples(0.95, 0.95)
    assert statistics.grouped_quantile_bounds(steady, 0.95, 0.95)[1] == math.inf
    assert statistics.grouped_quantile_bounds(5 * steady, 0.95, 0.95)[1] == pytest.approx(0.001)


def test_mean_bounds_are_students():
    values = [1.0, 2.0, 4.0, 4.5]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert statistics.mean_bounds(values, 0.95) == pytest.approx((expected.low, expected.high))


@given(hits=st.integers(0, 60), number=st.integers(1, 60))
def test_proportion_bounds_are_exact(hits, number):
    hits = min(hits, number)
    low, high = statistics.proportion_bounds(hits, number, 0.95)
    exact = stats.binomtest(hits, number).proportion_ci(0.9, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high))


def test_no_drop_under_one_and_a_half_points_can_pass_with_200_samples():
    _, high = statistics.paired_proportion_bounds(0, 0, 200, 0.95)
    assert 0.0148 < high < 0.015


def test_the_drop_that_2000_samples_with_22_differing_ones_exclude():
    _, high = statistics.paired_proportion_bounds(11, 11, 2000, 0.95)
    assert 100 * high == pytest.approx(0.41, abs=0.005)


@given(lost=st.integers(0, 40), gained=st.integers(0, 40), spare=st.integers(0, 300))
def test_paired_bounds_enclose_the_estimate_and_swap_with_the_answers(lost, gained, spare):
    number = max(1, lost + gained + spare)
    low, high = statistics.paired_proportion_bounds(lost, gained, number, 0.95)
    assert low <= (lost - gained) / number <= high
    swapped = statistics.paired_proportion_bounds(gained, lost, number, 0.95)
    assert (low, high) == pytest.approx((-swapped[1], -swapped[0]))


@pytest.mark.parametrize("drop", [0.0025, 0.005, 0.01])
def test_a_true_drop_lies_above_the_bound_in_about_one_case_of_twenty(drop):
    random, number, differing = np.random.default_rng(1), 2000, 0.015
    shares = [(differing + drop) / 2, (differing - drop) / 2, 1 - differing]
    drawn, counts = np.unique(random.multinomial(number, shares, 4000), axis=0, return_counts=True)
    missed = [
        statistics.paired_proportion_bounds(lost, gained, number, 0.95)[1] < drop
        for lost, gained, _ in drawn.tolist()
    ]
    assert counts[missed].sum() / counts.sum() < 0.06


def test_mcnemar_is_the_binomial_test_of_the_samples_that_differ():
    assert statistics.mcnemar(0, 0) == 1.0
    assert statistics.mcnemar(1, 9) == pytest.approx(stats.binomtest(1, 10).pvalue)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50))
def test_bootstrap_bounds_lie_within_the_values_and_do_not_change(values):
    low, high = statistics.bootstrap_mean_bounds(values, 0.95)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert (low, high) == statistics.bootstrap_mean_bounds(values, 0.95)


def test_bootstrap_bounds_miss_the_mean_as_often_as_promised():
    random = np.random.default_rng(3)
    missed = sum(
        statistics.bootstrap_mean_bounds(random.exponential(size=100), 0.95)[1] < 1.0
        for _ in range(150)
    )
    assert missed / 150 < 0.15
