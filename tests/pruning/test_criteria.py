"""Every criterion on one graph that has what is awkward: twice-read, flattened, gated, normed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.errors import DataError, UsageError
from edgekit.pruning import criteria
from edgekit.pruning.analysis import couple
from edgekit.pruning.criteria import (
    CRITERIA,
    ActivationAware,
    BatchNormScale,
    BlockObs,
    MagnitudeL1,
    MagnitudeL2,
    Redundancy,
)
from edgekit.pruning.evidence import Evidence, gather, weights_of
from edgekit.pruning.gram import Gram
from edgekit.pruning.losses import measured
from edgekit.pruning.masking import masked
from edgekit.pruning.preparing import prepared
from edgekit.pruning.refitting import refitted
from edgekit.pruning.ridge import solve
from edgekit.pruning.survey import parted, ranked, surveyed

SHAPES = {"x": (1, 3, 6, 6)}


@dataclass(frozen=True)
class Images:
    """A dataset of smooth noise."""

    count: int
    source: str = "noise"

    def __len__(self):
        return self.count

    def samples(self):
        rng = np.random.default_rng(7)
        return ({"x": rng.standard_normal((3, 6, 6)).astype("f4")} for _ in range(self.count))


def awkward() -> onnx.ModelProto:
    """Stem with batch norm, depthwise, a concat of it with itself, flatten of 8 x 36, Gemm."""
    rng = np.random.default_rng(5)

    def array(*shape):
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return (rng.standard_normal(shape) * scale).astype("f4")

    weights = {
        "w_stem": array(8, 3, 3, 3),
        "gamma": np.array([1, 2, 3, 4, 5, 6, 7, 0.5], "f4"),
        "beta": array(8, 1).ravel(),
        "mean": np.zeros(8, "f4"),
        "var": np.ones(8, "f4"),
        "w_depth": array(8, 1, 3, 3),
        "b_depth": array(8, 1).ravel(),
        "w_twice": array(6, 16, 1, 1),
        "b_twice": array(6, 1).ravel(),
        "w_out": array(10, 288),
        "b_out": array(10, 1).ravel(),
        "w_side": array(6, 5),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w_stem"], ["s0"], "stem", **pads),
        helper.make_node(
            "BatchNormalization", ["s0", "gamma", "beta", "mean", "var"], ["s1"], "bn"
        ),
        helper.make_node("Relu", ["s1"], ["s2"], "relu"),
        helper.make_node("Conv", ["s2", "w_depth", "b_depth"], ["d0"], "depth", group=8, **pads),
        helper.make_node("Sigmoid", ["d0"], ["d1"], "sigmoid"),
        helper.make_node("Concat", ["d1", "s2"], ["both"], "concat", axis=1),
        helper.make_node("Conv", ["both", "w_twice", "b_twice"], ["t0"], "twice"),
        helper.make_node("Flatten", ["d1"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w_out", "b_out"], ["logits"], "head", transB=1),
        helper.make_node("GlobalAveragePool", ["t0"], ["pool"], "pool"),
        helper.make_node("Flatten", ["pool"], ["pooled"], "flatten2"),
        helper.make_node("MatMul", ["pooled", "w_side"], ["side"], "side"),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "awkward",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10]),
                helper.make_tensor_value_info("side", TensorProto.FLOAT, ["N", 5]),
            ],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


@pytest.fixture(scope="module")
def coupling(tmp_path_factory):
    file = tmp_path_factory.mktemp("awkward") / "model.onnx"
    onnx.save(awkward(), file)
    return couple(prepared(graph.load(file)), SHAPES)


@pytest.fixture(scope="module")
def evidence(coupling, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    known = gather(coupling, free(coupling), "grams", Images(60), folder)
    if find_spec("torch") is None:
        return known
    gradients = gather(coupling, free(coupling), "gradients", Images(60), folder).gradients
    return replace(known, gradients=gradients)


def free(coupling):
    return [group for group in coupling.groups if group.pinned_by is None]


def named(coupling, name):
    return next(group for group in coupling.groups if group.name == name)


def test_the_graph_is_as_awkward_as_it_should_be(coupling):
    stem = named(coupling, "stem")
    assert len(stem.channels) == 8
    assert {name for name, _ in stem.consumers} == {"w_twice", "w_out"}
    assert np.bincount(coupling.on("w_out", 1)).max() == 36
    assert np.bincount(coupling.on("w_twice", 1)).max() == 2


@pytest.mark.parametrize("kind", CRITERIA, ids=lambda kind: kind.name)
def test_scores_are_finite_repeatable_and_one_a_channel(kind, coupling, evidence):
    assert criteria.find(kind.name) == kind()
    for group in free(coupling):
        scores = kind().score(group, evidence)
        assert scores.shape == (len(group.channels),)
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()
        np.testing.assert_array_equal(scores, kind().score(group, evidence))


@pytest.mark.parametrize("kind", CRITERIA, ids=lambda kind: kind.name)
def test_what_a_criterion_needs_is_enough_for_it(kind, coupling, evidence, tmp_path):
    if kind.needs == "gradients":
        pytest.importorskip("torch")
    groups = free(coupling)
    data = None if kind.needs == "weights" else Images(60)
    survey = ranked(coupling, groups, kind(), data=data, workspace=tmp_path)
    for group in groups:
        np.testing.assert_allclose(survey.scores[group.name], kind().score(group, evidence))


def test_an_unknown_criterion_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'batchnorm'"):
        criteria.find("batch-norm")
    with pytest.raises(UsageError, match="known: obs, "):
        criteria.find("zzzz")


def test_magnitudes_sum_over_all_that_makes_a_channel(coupling):
    stem, evidence = named(coupling, "stem"), weights_of(coupling)
    weights = [evidence.weight(name).reshape(8, -1) for name in ("w_stem", "w_depth")]
    for kind, power in ((MagnitudeL1, 1), (MagnitudeL2, 2)):
        wanted = sum((np.abs(weight) ** power).sum(axis=1) for weight in weights)
        np.testing.assert_allclose(kind().score(stem, evidence), wanted, rtol=1e-5)


def test_batch_norm_scales_rank_the_channels_they_scale(coupling):
    evidence = weights_of(coupling)
    scores = BatchNormScale().score(named(coupling, "stem"), evidence)
    np.testing.assert_allclose(scores, [1, 2, 3, 4, 5, 6, 7, 0.5])
    other = named(coupling, "twice")
    np.testing.assert_array_equal(
        BatchNormScale().score(other, evidence), MagnitudeL1().score(other, evidence)
    )


def test_without_batch_norms_their_criterion_says_what_to_do(small_model):
    coupling = couple(prepared(graph.load(small_model)), {"x": (1, 3, 16, 16)})
    with pytest.raises(UsageError, match=r"criterion batchnorm: .*folded.*; .*choose another"):
        BatchNormScale().score(coupling.groups[0], weights_of(coupling))


def test_activation_aware_shares_add_up_over_readers(coupling, evidence):
    scores = ActivationAware().score(named(coupling, "stem"), evidence)
    assert scores.sum() == pytest.approx(2)


def one_reader(coupling, gram, samples=200):
    """Evidence about the channels of `twice`, whose only reader `side` sees this Gram matrix."""
    return replace(weights_of(coupling), grams={"side": Gram(matrix=gram, count=samples)})


def test_block_obs_takes_the_channel_that_others_make_up_for(coupling):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 200))
    x[4] = x[0] + x[1]
    rows = np.concatenate([x, np.ones((1, 200))])
    evidence = one_reader(coupling, rows @ rows.T)
    scores = BlockObs().score(named(coupling, "twice"), evidence)
    assert np.argmin(scores) in {0, 1, 4}
    assert sorted(scores.tolist()) == list(range(6))


def test_the_first_of_block_obs_is_the_least_error_of_refitting(coupling):
    rng = np.random.default_rng(2)
    mixed = rng.standard_normal((6, 6)) @ rng.standard_normal((6, 200))
    rows = np.concatenate([mixed, np.ones((1, 200))])
    gram = rows @ rows.T
    evidence = one_reader(coupling, gram)
    weight = weights_of(coupling).weight("w_side").T.astype(np.float64)
    errors = []
    for gone in range(6):
        kept = np.array([column for column in range(7) if column != gone])
        whole = np.concatenate([weight, np.zeros((5, 1))], axis=1)
        cross = whole @ gram[:, kept]
        found = solve(gram[np.ix_(kept, kept)], cross, weight[:, kept[:-1]], np.zeros(5), 1e-9)
        full = np.zeros((5, 7))
        full[:, kept] = np.concatenate([found[0], found[1][:, None]], axis=1)
        change = full - whole
        errors.append(np.einsum("oi,ij,oj->", change, gram, change))
    scores = BlockObs().score(named(coupling, "twice"), evidence)
    assert np.argmin(scores) == np.argmin(errors)


def test_near_duplicates_go_first_and_the_smaller_of_two(coupling):
    original = weights_of(coupling)
    stem = named(coupling, "stem")
    filters = {name: original.weight(name).copy() for name in ("w_stem", "w_depth")}
    for weight in filters.values():
        weight[3] = 0.9 * weight[6]

    @dataclass(frozen=True)
    class Doubled:
        coupling: object

        filters = Evidence.filters
        places = Evidence.places

        def weight(self, name):
            return filters[name]

    scores = Redundancy().score(stem, Doubled(coupling=coupling))
    assert np.argmin(scores) == 3
    assert scores[3] == pytest.approx(0, abs=1e-6)
    assert scores[6] > 1


def test_what_masking_does_a_change_without_refitting_does(coupling, tmp_path):
    """Without Gram matrices all readers are masked, and the loss is that of the masked oracle."""
    evidence = weights_of(coupling)
    group = named(coupling, "stem")
    scores = np.arange(8.0)
    (row,) = measured(
        [group], [scores], [(8, 5)], evidence, held_out=Images(20), workspace=tmp_path
    )
    keep = coupling.everything()
    keep[group.channels[:3]] = False
    change = refitted(group, keep, evidence)
    assert not change.weights
    assert {node for node, _, _ in change.masks} == {"twice", "head"}
    wanted = loss_of(coupling.model, masked(coupling, keep), tmp_path)
    assert row.losses[1] == pytest.approx(wanted, rel=1e-4)
    assert row.losses[0] == 0


def loss_of(dense, other, folder):
    import onnxruntime

    answers = []
    for place, model in enumerate((dense, other)):
        graph.save(model, folder / f"{place}.onnx")
        session = onnxruntime.InferenceSession(folder / f"{place}.onnx")
        batch = np.stack([sample["x"] for sample in Images(20).samples()])
        answers.append(session.run(None, {"x": batch}))
    losses = [((a - b) ** 2).mean() / a.var() for a, b in zip(*answers, strict=True)]
    return np.mean(losses)


def test_refitting_loses_less_than_masking_and_more_channels_lose_more(
    coupling, evidence, tmp_path
):
    groups = [named(coupling, "stem")]
    scores, counts = [BlockObs().score(groups[0], evidence)], [(8, 7, 5, 2)]
    rows = [
        measured(groups, scores, counts, known, held_out=Images(30), workspace=tmp_path)[0]
        for known in (evidence, weights_of(coupling))
    ]
    assert all(a < b for a, b in zip(rows[0].losses[1:], rows[1].losses[1:], strict=True))
    assert list(rows[1].losses) == sorted(rows[1].losses)
    assert list(tmp_path.iterdir()) == []


def test_a_survey_holds_out_every_fifth_sample_and_measures_each_group(coupling, tmp_path):
    groups = free(coupling)
    options = [(8, 6, 4), (6, 3)]
    done = []
    survey = surveyed(
        coupling,
        groups,
        options,
        criteria.find("obs"),
        data=Images(60),
        workspace=tmp_path,
        progress=lambda *numbers: done.append(numbers),
    )
    assert [row.counts for row in survey.table] == options
    assert [row.group for row in survey.table] == [group.name for group in groups]
    assert done[-1] == (3, 3)
    fitted, held_out = parted(Images(60))
    assert (len(fitted), len(held_out)) == (48, 12)
    with pytest.raises(DataError, match=r"noise: too few samples .* about 256"):
        parted(Images(4))


def test_scores_that_are_known_are_taken(coupling, tmp_path):
    groups = free(coupling)
    known = {"stem": np.arange(8.0)}
    survey = ranked(coupling, groups, MagnitudeL1(), data=None, workspace=tmp_path, known=known)
    assert survey.scores["stem"] is known["stem"]
