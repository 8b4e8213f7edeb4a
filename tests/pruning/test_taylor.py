"""The Taylor criterion: exact where the network is linear, and the same every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import graph
from edgekit.errors import MissingExtraError, ModelError
from edgekit.interpreter import extra
from edgekit.pruning import criteria
from edgekit.pruning.analysis import couple
from edgekit.pruning.criteria import Taylor
from edgekit.pruning.evidence import gather
from edgekit.pruning.preparing import prepared
from edgekit.pruning.survey import ranked, surveyed

RNG = np.random.default_rng(11)
WEIGHTS = {
    "w1": RNG.standard_normal((6, 5)).astype("f4"),
    "w2": RNG.standard_normal((5, 4)).astype("f4"),
    "w3": RNG.standard_normal((5, 4)).astype("f4"),
}
DATA = RNG.standard_normal((40, 6)).astype("f4")


@dataclass(frozen=True)
class Vectors:
    """The first of the vectors, or many more."""

    count: int = len(DATA)
    source: str = "vectors"

    def __len__(self):
        return self.count

    def samples(self):
        return ({"x": DATA[place % len(DATA)]} for place in range(self.count))


def coupled(folder, nodes, outputs, kind=TensorProto.FLOAT):
    """The channels of a graph over x [N, 6]."""
    made = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()],
    )
    file = folder / "model.onnx"
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=imports, ir_version=9), file)
    return couple(prepared(graph.load(file)), {"x": (1, 6)})


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """x W1, read twice: by W2 and by W3, whose products add up to the answer."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "w2"], ["a"], "left"),
        helper.make_node("MatMul", ["h", "w3"], ["b"], "right"),
        helper.make_node("Add", ["a", "b"], ["y"], "add"),
    ]
    return coupled(tmp_path_factory.mktemp("linear"), nodes, {"y": ["N", 4]})


def changes():
    """What the removal of each channel changes y by, squared, at a variance of 1 a sample."""
    hidden = DATA @ WEIGHTS["w1"]
    answers = hidden @ (WEIGHTS["w2"] + WEIGHTS["w3"])
    columns = ((WEIGHTS["w2"] + WEIGHTS["w3"]) ** 2).sum(1)
    return (hidden**2).mean(0) * columns / answers.var() / answers.shape[1]


def test_without_torch_the_line_that_installs_it_is_said(linear, tmp_path, monkeypatch):
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"criterion taylor: needs torch.*\[train\]"):
        gather(linear, linear.free, "gradients", Vectors(), tmp_path)
    assert list(tmp_path.iterdir()) == []


class TestWithTorch:
    """Everything that is measured."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")

    def test_scores_are_the_exact_effect_of_removal(self, linear, tmp_path):
        (group,) = linear.free
        evidence = gather(linear, [group], "gradients", Vectors(800), tmp_path)
        scores = Taylor().score(group, evidence)
        np.testing.assert_allclose(scores, changes(), rtol=0.1)
        assert np.argsort(scores).tolist() == np.argsort(changes()).tolist()
        assert list(tmp_path.iterdir()) == []

    def test_the_same_data_gives_the_same_scores(self, linear, tmp_path):
        (group,) = linear.free
        found = [
            Taylor().score(group, gather(linear, [group], "gradients", Vectors(), tmp_path))
            for _ in range(2)
        ]
        np.testing.assert_array_equal(*found)

    def test_two_readers_that_cancel_are_worth_nothing(self, tmp_path):
        """Slopes add up over the readers of a channel before they are squared."""
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
            helper.make_node("MatMul", ["h", "w2"], ["a"], "left"),
            helper.make_node("MatMul", ["h", "w2"], ["b"], "right"),
            helper.make_node("MatMul", ["h", "w3"], ["c"], "third"),
            helper.make_node("Sub", ["a", "b"], ["none"], "sub"),
            helper.make_node("Add", ["none", "c"], ["y"], "add"),
        ]
        coupling = coupled(tmp_path, nodes, {"y": ["N", 4]})
        (group,) = coupling.free
        evidence = gather(coupling, [group], "gradients", Vectors(800), tmp_path)
        hidden = DATA @ WEIGHTS["w1"]
        wanted = (hidden**2).mean(0) * (WEIGHTS["w3"] ** 2).sum(1)
        wanted /= (hidden @ WEIGHTS["w3"]).var() * 4
        np.testing.assert_allclose(Taylor().score(group, evidence), wanted, rtol=0.1)

    def test_a_survey_measures_gradients_beside_gram_matrices(self, linear, tmp_path):
        alone = ranked(linear, linear.free, Taylor(), data=Vectors(80), workspace=tmp_path)
        assert np.isfinite(alone.scores["first"]).all()
        survey = surveyed(
            linear,
            linear.free,
            [(5, 3)],
            criteria.find("taylor"),
            data=Vectors(80),
            workspace=tmp_path,
        )
        assert survey.table[0].losses[1] > 0
        assert (survey.scores["first"] > 0).all()

    def test_answers_that_are_no_floats_have_no_gradient(self, tmp_path):
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
            helper.make_node("MatMul", ["h", "w2"], ["a"], "left"),
            helper.make_node("ArgMax", ["a"], ["y"], "best", axis=1),
        ]
        coupling = coupled(tmp_path, nodes, {"y": ["N", 1]}, TensorProto.INT64)
        with pytest.raises(ModelError, match="criterion taylor: has no float output"):
            gather(coupling, coupling.groups, "gradients", Vectors(), tmp_path)
