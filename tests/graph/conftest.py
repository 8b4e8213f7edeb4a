"""Small models, written to files."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


class Build:
    """Shorthand for onnx.helper."""

    node = staticmethod(helper.make_node)
    graph = staticmethod(helper.make_graph)
    function = staticmethod(helper.make_function)
    opset = staticmethod(helper.make_opsetid)
    F = TensorProto.FLOAT

    @staticmethod
    def value(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    @staticmethod
    def const(name, array):
        return numpy_helper.from_array(np.asarray(array), name)

    @staticmethod
    def model(
        nodes,
        inputs=None,
        outputs=None,
        weights=(),
        *,
        opset=17,
        ir_version=8,
        functions=(),
        domains=(),
    ):
        imports = [helper.make_opsetid("", opset)]
        imports += [helper.make_opsetid(domain, 1) for domain in domains]
        graph = helper.make_graph(
            nodes,
            "g",
            inputs if inputs is not None else [Build.value("x", ["N", 4])],
            outputs if outputs is not None else [Build.value("y", ["N", 4])],
            list(weights),
        )
        return helper.make_model(
            graph, opset_imports=imports, ir_version=ir_version, functions=list(functions)
        )


@pytest.fixture(scope="session")
def build():
    return Build


@pytest.fixture
def put(tmp_path):
    """Write a model or bytes to a file and return its path."""

    def write(model, name="model.onnx"):
        data = model if isinstance(model, bytes) else model.SerializeToString()
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def external(tmp_path):
    """A model whose weight lies in `location`; edit and write it with `put`."""

    def make(location="w.bin", *, offset=None, length=None, shape=(4, 4), write=True):
        if write:
            values = np.arange(np.prod(shape), dtype="f4")
            (tmp_path / "w.bin").write_bytes(values.tobytes())
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": offset, "length": length}
        for key, value in entries.items():
            if value is not None:
                tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
        return Build.model([Build.node("MatMul", ["x", "w"], ["y"])], weights=[tensor])

    return make
