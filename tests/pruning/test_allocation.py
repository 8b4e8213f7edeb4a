"""From a table of losses and a budget to counts, on plain data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import graph
from edgekit.errors import UsageError
from edgekit.pruning.allocation import Losses, _descended, by_loss, dense, flags, uniform
from edgekit.pruning.analysis import couple
from edgekit.pruning.budget import (
    LatencyCost,
    MeasuredTime,
    latency_cost,
    macs_cost,
    parameters_cost,
)
from edgekit.pruning.constraints import constrained
from edgekit.pruning.coupling import ChannelGroup, Coupling, Product
from edgekit.pruning.levels import allowed, sampled
from edgekit.pruning.preparing import prepared
from edgekit.pruning.schedule import iterative, polynomial
from edgekit.pruning.surgery import removed


def chain(widths, fixed=3):
    """A coupling of layers one behind the other: each reads what the one before it makes."""
    ends = np.cumsum(widths)
    channels = [np.arange(end - width, end) for end, width in zip(ends, widths, strict=True)]
    groups = tuple(
        ChannelGroup(name=f"g{place}", channels=ids, width=1, producers=(), consumers=(), nodes=())
        for place, ids in enumerate(channels)
    )
    first = Product(node="in", macs=fixed * widths[0] * 7, axes=(channels[0],))
    products = [first] + [
        Product(node=f"n{i}", macs=widths[i] * widths[i + 1], axes=(channels[i], channels[i + 1]))
        for i in range(len(widths) - 1)
    ]
    total = int(ends[-1])
    return Coupling(
        model=None,
        shapes={},
        axes={},
        count=total,
        pinned=np.full(total, -1),
        reasons=(),
        groups=groups,
        contractions=(),
        products=tuple(products),
    )


@st.composite
def problems(draw):
    """(cost, table, allowed) of a chain with random widths, losses and multiples."""
    widths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    multiple = draw(st.sampled_from([1, 4, 8, 16]))
    coupling = chain(widths)
    options = [allowed(width, 1, multiple) for width in widths]
    table = []
    for group, counts in zip(coupling.groups, options, strict=True):
        measured = sampled(counts, 5)
        steps = draw(
            st.lists(st.floats(0, 1), min_size=len(measured) - 1, max_size=len(measured) - 1)
        )
        losses = (0.0, *np.cumsum(steps).tolist())
        table.append(Losses(group=group.name, counts=measured, losses=losses))
    return macs_cost(coupling, coupling.groups), table, options


@settings(deadline=None, max_examples=30)
@given(problems(), st.floats(0.02, 1))
def test_a_reachable_budget_is_met_with_allowed_counts(problem, share):
    cost, table, options = problem
    for choose in (
        lambda limit: by_loss(table, options, cost, limit),
        lambda limit: uniform(options, cost, limit),
    ):
        least = cost.total(np.array([counts[-1] for counts in options]))
        limit = share * cost.dense
        if least > limit * (1 + 1e-9):
            with pytest.raises(UsageError, match=r"the budget cannot be reached .* keep [01]"):
                choose(limit)
            continue
        counts = choose(limit)
        assert cost.total(counts) <= limit * (1 + 1e-6)
        for count, row in zip(counts.tolist(), options, strict=True):
            assert count in row
            assert count >= 1


@settings(deadline=None, max_examples=30)
@given(problems(), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_lower_budget_gives_nothing_back(problem, one, other):
    cost, table, options = problem
    least = cost.total(np.array([counts[-1] for counts in options])) / cost.dense
    low, high = (max(share, least) * cost.dense for share in sorted((one, other)))
    losses = [
        np.array([row.at(count) for count in counts])
        for row, counts in zip(table, options, strict=True)
    ]
    lower, higher = (_descended(losses, options, cost, limit, cost) for limit in (low, high))
    assert (lower <= higher).all()
    assert (lower <= by_loss(table, options, cost, low)).all()
    assert (uniform(options, cost, low) <= uniform(options, cost, high)).all()


@settings(deadline=None, max_examples=20)
@given(problems(), st.integers(0, 4), st.data())
def test_savings_are_differences_of_totals(problem, group, data):
    cost, _, options = problem
    group %= len(options)
    counts = np.array([data.draw(st.sampled_from(row)) for row in options])
    changed = np.array(options[group])
    saved = cost.savings(counts, group, changed)
    for option, value in zip(changed.tolist(), saved.tolist(), strict=True):
        other = counts.copy()
        other[group] = option
        assert value == pytest.approx(cost.total(counts) - cost.total(other), abs=1e-6)


def test_what_costs_nothing_goes_first():
    coupling = chain([16, 16])
    table = [
        Losses(group="g0", counts=(16, 8, 1), losses=(0.0, 5.0, 9.0)),
        Losses(group="g1", counts=(16, 8, 1), losses=(0.0, 0.0, 9.0)),
    ]
    cost = macs_cost(coupling, coupling.groups)
    counts = by_loss(table, [allowed(16, 1, 1)] * 2, cost, 0.8 * cost.dense)
    assert counts[0] == 16
    assert counts[1] < 16


def test_what_is_left_of_a_budget_is_used():
    coupling = chain([16, 16, 16])
    options = [(16, 15), (16, 8), (16, 8)]
    table = [
        Losses(group=group.name, counts=counts, losses=(0.0, loss))
        for group, counts, loss in zip(coupling.groups, options, (0.01, 0.5, 0.6), strict=True)
    ]
    cost = macs_cost(coupling, coupling.groups)
    limit = cost.total(np.array([16, 8, 16]))
    assert by_loss(table, options, cost, limit).tolist() == [16, 8, 16]


def test_a_step_that_saves_nothing_does_not_hide_a_larger_one():
    groups = chain([16]).groups
    cost = latency_cost(groups, 100.0, {"g0": {12: 0.0, 8: 40.0, 4: 50.0}})
    table = [Losses(group="g0", counts=(16, 12, 8, 4), losses=(0.0, 0.1, 0.2, 0.9))]
    assert by_loss(table, [(16, 12, 8, 4)], cost, 60.0).tolist() == [8]
    with pytest.raises(UsageError, match=r"at least 50\.0%"):
        by_loss(table, [(16, 12, 8, 4)], cost, 40.0)


def test_a_count_that_is_slower_is_never_chosen():
    groups = chain([16, 16]).groups
    cost = latency_cost(groups, 100.0, {"g0": {8: -5.0}, "g1": {8: 20.0}})
    table = [
        Losses(group=name, counts=(16, 8), losses=(0.0, loss))
        for name, loss in (("g0", 0.0), ("g1", 1.0))
    ]
    assert by_loss(table, [(16, 8)] * 2, cost, 80.0).tolist() == [16, 8]


def test_costs_agree_with_those_of_the_smaller_graph(small_model):
    shapes = {"x": (1, 3, 16, 16)}
    coupling = couple(prepared(graph.load(small_model)), shapes)
    groups = [group for group in coupling.groups if group.pinned_by is None]
    macs, parameters = macs_cost(coupling, groups), parameters_cost(coupling, groups)
    dense = graph.costs(coupling.model, shapes)
    assert (macs.dense, parameters.dense) == (dense.macs, dense.parameters)
    rng = np.random.default_rng(0)
    scores = {group.name: rng.random(len(group.channels)) for group in groups}
    for counts in ([16, 32], [8, 32], [5, 7], [1, 1]):
        keep = flags(coupling, groups, scores, np.array(counts))
        assert [int(keep[group.channels].sum()) for group in groups] == counts
        smaller = graph.costs(removed(coupling, keep), shapes)
        assert macs.total(np.array(counts)) == smaller.macs
        assert parameters.total(np.array(counts)) == smaller.parameters


def test_the_highest_scores_stay(small_model):
    coupling = couple(prepared(graph.load(small_model)), {"x": (1, 3, 16, 16)})
    group = coupling.groups[0]
    scores = np.arange(16.0)[::-1]
    keep = flags(coupling, [group], {group.name: scores}, np.array([4]))
    assert np.flatnonzero(keep[group.channels]).tolist() == [0, 1, 2, 3]


def test_the_users_word_on_layers_holds(small_model):
    coupling = couple(prepared(graph.load(small_model)), {"x": (1, 3, 16, 16)})
    groups = [group for group in coupling.groups if group.pinned_by is None]
    options = [allowed(len(group.channels), group.width, 8) for group in groups]
    found = constrained(coupling, groups, options, ignored=["conv1"], ratios={"conv2": 0.5})
    assert found == [(16,), (16,)]
    cost = macs_cost(coupling, groups)
    assert dense(found).tolist() == [16, 16]
    with pytest.raises(UsageError, match="cannot be reached"):
        uniform(found, cost, 0.1 * cost.dense)


@given(st.integers(1, 300), st.integers(1, 64), st.sampled_from([1, 8, 16, 32]))
def test_counts_descend_from_all_to_at_least_one(channels, width, multiple):
    counts = allowed(channels, width, multiple)
    assert counts[0] == channels
    assert counts[-1] >= 1
    assert list(counts) == sorted(set(counts), reverse=True)
    block = multiple // np.gcd(multiple, width)
    assert all(count % block == 0 for count in counts[1:] if count >= block)
    assert len(counts) == 1 or counts[1] < block or counts[-1] >= block
    assert set(counts) <= set(allowed(channels, width, multiple, finer=True))


def test_measured_counts_hold_both_ends():
    assert sampled(tuple(range(100, 0, -1)), 9)[::8] == (100, 1)
    assert sampled((3,), 9) == (3,)


def test_losses_never_fall_between_measures():
    row = Losses(group="g", counts=(8, 4, 2), losses=(0.0, 0.4, 0.3))
    assert [row.at(count) for count in (8, 6, 4, 3, 2)] == pytest.approx([0, 0.2, 0.4, 0.4, 0.4])


def test_schedules_end_where_they_should():
    assert iterative(0.5, 1) == (0.5,)
    assert iterative(0.125, 3) == pytest.approx((0.5, 0.25, 0.125))
    shares = polynomial(0.9, 0.3, 5)
    assert shares[0] == pytest.approx(0.9)
    assert shares[-1] == pytest.approx(0.3)
    steps = -np.diff(shares)
    assert (np.diff(steps) < 0).all()
    assert polynomial(0.9, 0.3, 3, power=1.0) == pytest.approx((0.9, 0.6, 0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iterative(0.0, 3), "out of range"),
        (lambda: iterative(0.5, 0), "needs steps"),
        (lambda: polynomial(0.3, 0.9, 4), "give channels back"),
    ],
)
def test_impossible_schedules_are_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_what_saves_time_is_paid_for_where_time_is_measured():
    """Two groups that are alike in theory; on the device only the second one saves anything."""
    options = [(16, 8, 4, 2, 1)] * 2
    table = [
        Losses(group=name, counts=options[0], losses=(0.0, 0.1, 0.2, 0.4, 0.8)) for name in "ab"
    ]
    ids = np.arange(32)
    groups = [
        ChannelGroup(name=name, channels=part, width=1, producers=(), consumers=(), nodes=())
        for name, part in zip("ab", (ids[:16], ids[16:]), strict=True)
    ]
    theory = LatencyCost(dense=64.0, saved_us=(2.0 * (16 - np.arange(17)),) * 2)
    latency = latency_cost(groups, 64.0, {"a": {1: 0.0}, "b": {1: 30.0}})
    counts = by_loss(
        table, options, theory, 48.0, price=MeasuredTime(latency=latency, theory=theory)
    )
    assert theory.total(counts) <= 48.0
    assert counts[0] == 16
    assert counts[1] == 8
