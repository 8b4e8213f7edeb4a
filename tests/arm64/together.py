"""Many graphs side by side in one file: one start of the emulated runtime answers for all."""

import numpy as np
import onnx
from onnx import compose, helper


def write_together(cases, files, to):
    """Write the models `files`, name -> file, as one, and return the samples of its inputs.

    Args:
        cases: name -> the case whose samples the model takes.
        files: models with one input and one output of that name.
        to: the file to write.
    """
    graphs, opsets = [], {}
    for name, file in files.items():
        model = compose.add_prefix(onnx.load(file), f"{name}.")
        graphs.append(model.graph)
        for one in model.opset_import:
            assert opsets.setdefault(one.domain, one.version) == one.version
    whole = helper.make_graph(
        [node for graph in graphs for node in graph.node],
        "together",
        [value for graph in graphs for value in graph.input],
        [value for graph in graphs for value in graph.output],
        [tensor for graph in graphs for tensor in graph.initializer],
    )
    imports = [helper.make_opsetid(*pair) for pair in opsets.items()]
    onnx.save(helper.make_model(whole, opset_imports=imports, ir_version=10), to)
    return {f"{name}.x": np.load(case.samples)["x"] for name, case in cases.items()}
