"""Slopes of masks, one sample at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")

from edgekit.interpreter.network import Network
from edgekit.interpreter.slopes import Samples, slopes

RNG = np.random.default_rng(5)
FIRST, SECOND = (RNG.standard_normal(shape).astype("f4") for shape in ((3, 4), (4, 1)))
ROWS = RNG.standard_normal((10, 6, 3)).astype("f4")


@dataclass(frozen=True)
class Rows:
    """Samples of six rows each."""

    source: str = "rows"

    def __len__(self):
        return len(ROWS)

    def samples(self):
        return ({"x": row} for row in ROWS)


def network(*, steps_first=False, merged=False):
    """x [N, 6, 3] times two matrices; the mean over rows is the answer [N, 1]."""
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"], "first")]
    read = "h"
    if steps_first:
        nodes.append(helper.make_node("Transpose", ["h"], ["t"], "turn", perm=[1, 0, 2]))
        read = "t"
    if merged:
        nodes.append(helper.make_node("Reshape", ["h", "shape"], ["m"], "merge"))
        read = "m"
    nodes.append(helper.make_node("MatMul", [read, "b"], ["z"], "second"))
    if merged:
        nodes.append(helper.make_node("Reshape", ["z", "back"], ["u"], "part"))
    axes = [0] if steps_first else [1]
    mean = "u" if merged else "z"
    nodes.append(helper.make_node("ReduceMean", [mean], ["y"], "mean", axes=axes, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(FIRST, "a"),
            numpy_helper.from_array(SECOND, "b"),
            numpy_helper.from_array(np.array([-1, 4]), "shape"),
            numpy_helper.from_array(np.array([-1, 6, 1]), "back"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Network(ir.from_proto(model)), read


AXES = {"h": 2, "t": 2, "m": 1}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("form", [{}, {"steps_first": True}, {"merged": True}], ids=str)
def test_slopes_are_each_samples_own_wherever_its_axis_is(form, size):
    """The network is linear, so what a mask takes away is its slope; one answer, scaled to 1."""
    net, read = network(**form)
    place = ("second", read, AXES[read])
    samples = Samples(data=Rows(), count=100, size=size)
    found = np.concatenate([one[place] for one in slopes(net, [place], ["y"], samples)])
    answers = (ROWS @ FIRST @ SECOND).mean(1)[:, 0]
    wanted = (ROWS @ FIRST * SECOND[:, 0]).mean(1) / answers.std()
    found, wanted = (one[np.argsort(one[:, 0])] for one in (np.abs(found), np.abs(wanted)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_samples_that_cannot_be_told_apart_go_one_by_one():
    net, read = network(merged=True)
    place = ("second", read, 0)
    samples = Samples(data=Rows(), count=4, size=4)
    found = list(slopes(net, [place], ["y"], samples))
    assert [one[place].shape for one in found] == [(1, 6)] * 4
