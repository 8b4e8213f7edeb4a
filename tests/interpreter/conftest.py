"""Graphs of one node, and what onnxruntime and the interpreter make of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TypeProto, helper


def single(kind, inputs, attributes=None, *, outputs=1, opset=21, constants=()):
    """Return the model of one node; inputs i0, i1, ... (None: left out), outputs o0, o1, ..."""
    names = ["" if array is None else f"i{place}" for place, array in enumerate(inputs)]
    made = [f"o{place}" for place in range(outputs)]
    node = helper.make_node(kind, names, made, "node", **(attributes or {}))
    given = {name: array for name, array in zip(names, inputs, strict=True) if name}
    graph = helper.make_graph(
        [node],
        "single",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in given.items()
            if name not in constants
        ],
        [helper.make_value_info(name, TypeProto()) for name in made],
        [
            helper.make_tensor(
                name,
                helper.np_dtype_to_tensor_dtype(given[name].dtype),
                given[name].shape,
                given[name].tobytes(),
                raw=True,
            )
            for name in constants
        ],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def answers(model, feeds):
    """Return the outputs of onnxruntime and of the interpreter, as arrays."""
    import onnxruntime

    from edgekit.interpreter.network import Network

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    network = Network(ir.from_proto(model))
    names = [value.name for value in session.get_outputs()]
    found = network.run(feeds, names)
    return session.run(None, feeds), [found[name].detach().numpy() for name in names]


def assert_alike(expected, found, tolerance=1e-4):
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == one.dtype
        assert other.shape == one.shape
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


@pytest.fixture
def alike():
    """Check one node against onnxruntime: all inputs fed, but those named as constants."""

    def check(kind, inputs, attributes=None, **options):
        model = single(kind, inputs, attributes, **options)
        fed = {value.name for value in model.graph.input}
        feeds = {f"i{place}": array for place, array in enumerate(inputs) if f"i{place}" in fed}
        assert_alike(*answers(model, feeds))

    return check


@pytest.fixture
def one_node():
    """Build the model of one node."""
    return single
