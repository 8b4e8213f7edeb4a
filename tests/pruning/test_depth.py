"""The blocks that go are those whose going is missed least, and the model keeps what it did."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import UsageError
from edgekit.graph import Model
from edgekit.graph.surgery import name_nodes
from edgekit.pruning.analysis import couple
from edgekit.pruning.blocks import blocks, twins, without
from edgekit.pruning.depth import cost_shares, latency_shares, shallower
from edgekit.pruning.reconstruction import reconstructed
from edgekit.pruning.surgery import removed

WIDTH = 6
SHAPES = {"x": (1, WIDTH)}
STRENGTHS = (0.5, 0.02, 0.3, 0.0)


@dataclass(frozen=True)
class Rows:
    """A dataset over one array."""

    x: np.ndarray
    source: str = "rows"

    def __len__(self):
        return len(self.x)

    def specs(self):
        return {}

    def samples(self):
        return ({"x": row} for row in self.x)

    def labels(self):
        return None


@pytest.fixture(scope="module")
def model():
    """A stem, blocks x + relu(x A) B of different strengths, and a head."""
    rng = np.random.default_rng(0)
    weights = {"stem.w": np.eye(WIDTH, dtype="f4"), "stem.b": np.zeros(WIDTH, "f4")}
    nodes = [helper.make_node("Gemm", ["x", "stem.w", "stem.b"], ["stem"], "stem")]
    last = "stem"
    for index, strength in enumerate(STRENGTHS):
        for part in "ab":
            scale = strength if part == "b" else 1.0
            weights[f"{index}{part}"] = (rng.standard_normal((WIDTH, WIDTH)) * scale).astype("f4")
        nodes += [
            helper.make_node("MatMul", [last, f"{index}a"], [f"{index}.h"], f"{index}.h"),
            helper.make_node("Relu", [f"{index}.h"], [f"{index}.r"], f"{index}.r"),
            helper.make_node("MatMul", [f"{index}.r", f"{index}b"], [f"{index}.f"], f"{index}.f"),
            helper.make_node("Add", [last, f"{index}.f"], [f"b{index}"], f"b{index}"),
        ]
        last = f"b{index}"
    weights["head"] = rng.standard_normal((WIDTH, WIDTH)).astype("f4")
    nodes.append(helper.make_node("MatMul", [last, "head"], ["y"], "y"))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    loaded = ir.from_proto(proto)
    name_nodes(loaded)
    return Model(ir=loaded, name="net.onnx")


@pytest.fixture(scope="module")
def found(model):
    return blocks(model, SHAPES)[0]


@pytest.fixture(scope="module")
def data():
    return Rows(np.random.default_rng(1).standard_normal((120, WIDTH)).astype("f4"))


def test_what_is_missed_least_goes_first(model, found, data, tmp_path):
    savings = cost_shares(model, found, SHAPES)
    assert sum(savings.values()) == pytest.approx(0.8)
    seen = []
    depth = shallower(
        model,
        found,
        savings,
        share=0.4,
        data=data,
        workspace=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [removal.block.name for removal in depth.removals] == ["b3", "b1"]
    assert [removal.saved for removal in depth.removals] == pytest.approx([0.2, 0.4])
    assert depth.removals[0].effect.loss < 1e-6
    assert depth.removals[1].effect.loss < depth.alone["b0"].loss
    assert [skip.where for skip in depth.skipped] == ["b0", "b2"]
    assert "of their variance" in depth.skipped[0].reason
    assert seen[0] == (1, 10)
    assert len(seen) <= 10
    assert list(tmp_path.iterdir()) == []
    assert len(without(model, depth.blocks).ir.graph) == len(model.ir.graph) - 8


def test_a_block_that_saves_nothing_stays(model, found, data, tmp_path):
    savings = {"b0": 0.2, "b1": 0.2, "b2": 0.2, "b3": -0.01}
    depth = shallower(model, found, savings, share=0.2, data=data, workspace=tmp_path)
    assert [block.name for block in depth.blocks] == ["b1"]
    assert depth.skipped[-1].where == "b3"
    assert depth.skipped[-1].reason == "nothing is saved by it"


def test_latency_is_measured_against_the_whole_model(model, found):
    sizes = []

    def latencies_of(models):
        sizes.extend(len(one.ir.graph) for one in models)
        return [2.0, 1.0, 1.5, 2.0, 2.2]

    shares = latency_shares(model, found, latencies_of)
    assert shares == pytest.approx({"b0": 0.5, "b1": 0.25, "b2": 0.0, "b3": -0.1})
    assert sizes == [18, 14, 14, 14, 14]


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_a_share_out_of_reach_is_told(model, found, data, tmp_path, share):
    savings = cost_shares(model, found, SHAPES)
    with pytest.raises(UsageError, match=r"at most 80\.0%"):
        shallower(model, found, savings, share=share, data=data, workspace=tmp_path)


def test_channels_of_a_shallower_model_reach_for_the_dense_end_of_the_row(
    model, found, data, tmp_path
):
    gone = [found[0], found[2]]
    shorter = without(model, gone)
    coupling = couple(shorter, SHAPES)
    keep = coupling.everything()
    free = [group for group in coupling.groups if group.pinned_by is None]
    for group in free:
        keep[group.channels[::2]] = False
    assert coupling.kept("stem", -1, keep) is not None
    _, fits = reconstructed(
        model,
        removed(coupling, keep),
        partial(coupling.kept, keep=keep),
        data,
        tmp_path,
        twins=twins(model, gone),
    )
    (stem,) = [fit for fit in fits if fit.node == "stem"]
    assert stem.after < 0.5 * stem.before
