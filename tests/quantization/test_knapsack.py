from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantization.knapsack import most_saved

AMOUNTS = st.integers(0, 40).map(float)


def by_trying(gains, costs, limit):
    sets = (some for size in range(len(gains) + 1) for some in combinations(gains, size))
    return max(
        sum(gains[name] for name in some)
        for some in sets
        if sum(costs[name] for name in some) <= limit
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=9), st.integers(0, 120).map(float))
def test_it_is_the_best_of_all_sets(items, limit):
    gains = {str(index): gain for index, (gain, _) in enumerate(items)}
    costs = {str(index): cost for index, (_, cost) in enumerate(items)}
    found = most_saved(gains, costs, limit)
    assert sum(costs[name] for name in found) <= limit
    assert sum(gains[name] for name in found) == by_trying(gains, costs, limit)


def test_the_largest_gain_for_its_cost_is_no_reason_to_take_it():
    gains, costs = {"a": 60.0, "b": 100.0, "c": 120.0}, {"a": 10.0, "b": 20.0, "c": 30.0}
    assert most_saved(gains, costs, 50.0) == {"b", "c"}


def test_what_gains_nothing_stays_out():
    assert most_saved({"a": -1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}, 1.0) == frozenset()


def test_many_items_of_one_kind_end():
    names = [str(index) for index in range(200)]
    gains, costs = dict.fromkeys(names, 3.0), dict.fromkeys(names, 2.0)
    assert len(most_saved(gains, costs, 101.0)) == 50
