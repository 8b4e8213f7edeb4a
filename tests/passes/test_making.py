"""Which candidates the steps of a profile make, and of what."""

import pytest

from edgekit import graph, passes
from edgekit import target as targets
from edgekit.dataset import open_data
from edgekit.job import Conditions, open_job, original_candidate, silent
from edgekit.making import make_candidates


@pytest.fixture
def made(small_model, small_data):
    """Return a function from steps to what they make, with no device that could measure."""

    def make(*steps):
        model = graph.load(small_model)
        data = open_data(small_data, model)
        conditions = Conditions(device=None, threads=1, batch=1, shapes=None, progress=silent)
        with open_job(small_model, model, targets.load("jetson"), conditions, data=data) as job:
            return make_candidates(job, original_candidate(small_model), steps, data)

    return make


def pruned(keep, **options):
    return passes.Prune(keep_macs=keep, criterion="l2", reconstruct=False, **options)


def parents(found):
    return {one.name: one.parent for one in found.candidates}


def test_what_was_pruned_is_quantized_and_so_is_what_was_not(made):
    found = made(pruned(0.5), passes.Quantize())
    assert parents(found) == {
        "prune": "original",
        "fp16": "prune",
        "quantize-unpruned": "original",
        "quantize": "prune",
    }


def test_several_prune_steps_are_alternatives(made):
    found = made(pruned(0.8), pruned(0.5), passes.Quantize())
    assert parents(found) == {
        "prune-1": "original",
        "prune-2": "original",
        "fp16": "prune-2",
        "quantize-unpruned": "original",
        "quantize-1": "prune-1",
        "quantize-2": "prune-2",
    }
    sizes = [one.size_bytes for one in found.candidates if one.name.startswith("prune")]
    assert sizes == sorted(sizes, reverse=True)


def test_a_share_that_cannot_be_reached_is_declined_and_the_others_go_on(made):
    found = made(pruned(0.001), pruned(0.5))
    assert parents(found) == {"prune-2": "original"}
    (declined,) = found.declined
    assert "cannot be reached" in declined.skipped[0].reason
