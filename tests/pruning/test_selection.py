"""Layers by name: exact, by pattern, the nearest for what is unknown, the reason for what stays."""

from __future__ import annotations

import pytest

from edgekit import graph
from edgekit.errors import UsageError
from edgekit.pruning.analysis import couple
from edgekit.pruning.preparing import prepared
from edgekit.pruning.selection import check_share, made_by, shares


@pytest.fixture(scope="module")
def coupling(small_model):
    return couple(prepared(graph.load(small_model)), {"x": (1, 3, 16, 16)})


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("conv1", ["conv1"]), ("conv*", ["conv1", "conv2"]), ("conv[2]", ["conv2"]), ("h*", ["head"])],
)
def test_layers_are_named_exactly_or_by_pattern(coupling, pattern, names):
    assert [group.name for group in made_by(coupling, pattern, where="--ignore")] == names


def test_an_unknown_layer_gets_the_nearest(coupling):
    with pytest.raises(UsageError, match=r"--ignore: .*'conv_1'; did you mean 'conv1'\?"):
        made_by(coupling, "conv_1", where="--ignore")
    with pytest.raises(UsageError, match="inspect --groups"):
        made_by(coupling, "zzz", where="--ignore")


def test_a_layer_that_only_reads_channels_is_not_their_maker(coupling):
    (group,) = made_by(coupling, "conv2", where="--ignore")
    assert len(group.channels) == 32


def test_a_later_pattern_wins(coupling):
    found = shares(coupling, {"conv*": 0.5, "conv2": 0.25}, where="--ratio")
    assert found == {"conv1": 0.5, "conv2": 0.25}


def test_a_pinned_layer_says_why(coupling):
    with pytest.raises(UsageError, match=r"'head' cannot be removed .*graph output"):
        shares(coupling, {"head": 0.5}, where="--ratio")
    assert shares(coupling, {"*": 0.5}, where="--ratio") == {"conv1": 0.5, "conv2": 0.5}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.3, 30.0, float("nan")])
def test_a_share_out_of_range_is_refused(coupling, share):
    with pytest.raises(UsageError, match="more than 0 and less than 1"):
        check_share(share, where="--keep-macs")
    with pytest.raises(UsageError, match="--ratio conv1: the share is out of range"):
        shares(coupling, {"conv1": share}, where="--ratio")
