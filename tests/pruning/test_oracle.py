"""Removing channels answers as the whole graph does whose consumers read zeros for them."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle import disagreement
from random_graphs import OPERATORS, model_protos

from edgekit import native
from edgekit.graph import Model
from edgekit.pruning.analysis import couple
from edgekit.pruning.masking import masked
from edgekit.pruning.preparing import prepared
from edgekit.pruning.surgery import removed

TOLERANCE = 1e-5
SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)
SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Reach:
    """What a corpus has shown, so that none of it holds for want of trying."""

    graphs: set[bytes] = field(default_factory=set)
    removals: int = 0
    through: Counter[str] = field(default_factory=Counter)

    def count(self, coupling, keep):
        """Count the graph, and each operator that reads or makes a removed channel."""
        self.graphs.add(serialized(coupling.model))
        self.removals += not keep.all()
        touched = {
            name
            for name, axes in coupling.axes.items()
            for axis in range(len(axes))
            if coupling.kept(name, axis, keep) is not None
        }
        self.through.update(
            {
                node.name.partition(".")[0]
                for node in coupling.model.ir.graph
                if touched & {value.name for value in (*node.inputs, *node.outputs) if value}
            }
        )


def check(proto, seed, reach):
    """Analyse one graph, remove random channels and compare."""
    chance = np.random.default_rng(seed)
    model = prepared(Model(ir=ir.from_proto(proto), name="random"))
    before = serialized(model)
    batch = int(chance.integers(1, 3))
    shapes = {spec.name: (batch, *spec.shape[1:]) for spec in model.inputs}
    coupling = couple(model, shapes, heads=bool(chance.integers(2)))
    keep = random_keep(coupling, chance)
    pair = serialized(masked(coupling, keep)), serialized(removed(coupling, keep))
    assert native.call("comparing", disagreement, *pair, 3) <= TOLERANCE
    assert serialized(model) == before
    reach.count(coupling, keep)


def random_keep(coupling, chance):
    """Keep a random share of each group, and at least one channel on every axis."""
    keep = coupling.everything()
    for group in coupling.groups:
        if group.pinned_by is None:
            share = chance.choice(SHARES)
            keep[group.channels] = chance.random(len(group.channels)) < share
    return coupling.spared(keep)


def serialized(model):
    return ir.to_proto(model.ir).SerializeToString(deterministic=True)


def test_removed_answers_as_masked():
    reach = Reach()

    @QUICK
    @given(model_protos(), SEEDS)
    def every_graph(proto, seed):
        check(proto, seed, reach)

    every_graph()
    assert len(reach.graphs) >= 50
    assert reach.removals >= 20
    assert len(reach.through) >= len(OPERATORS) / 2


@pytest.mark.slow
def test_removed_answers_as_masked_on_2000_graphs():
    """Channels were removed through every operator but those that pin what they read."""
    reach = Reach()

    @settings(QUICK, max_examples=2100, phases=[Phase.generate, Phase.shrink])
    @given(model_protos(), SEEDS)
    def every_graph(proto, seed):
        check(proto, seed, reach)

    every_graph()
    assert len(reach.graphs) >= 2000
    assert reach.removals >= 1000
    assert {operator.__name__ for operator in OPERATORS} <= set(reach.through)
