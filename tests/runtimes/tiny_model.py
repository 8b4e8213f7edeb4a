"""A tiny model as ONNX, and how `tiny.tflite` beside this file was made of it.

EDGEKIT_ONNX2TF=/path/to/python python tests/runtimes/tiny_model.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

TFLITE = Path(__file__).with_name("tiny.tflite")
CHANNELS, SIZE, CLASSES = 3, 8, 5


def write_tiny(file, batch=1):
    """Save a Conv, a Relu, a global mean and a Gemm over images of 3 x 8 x 8."""
    random = np.random.default_rng(7)
    weights = {
        "filters": random.standard_normal((6, CHANNELS, 3, 3)) / 5,
        "shift": random.standard_normal(6) / 5,
        "matrix": random.standard_normal((CLASSES, 6)),
        "bias": random.standard_normal(CLASSES) / 5,
    }
    nodes = [
        helper.make_node("Conv", ["image", "filters", "shift"], ["seen"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["seen"], ["kept"]),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_tensor("image", [batch, CHANNELS, SIZE, SIZE])],
        [_tensor("scores", [batch, CLASSES])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def _tensor(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def main():
    python = os.environ["EDGEKIT_ONNX2TF"]
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny(Path(folder, "tiny.onnx"))
        argv = [python, "-m", "onnx2tf", "-i", str(model), "-o", folder, "-coion", "-n"]
        subprocess.run(argv, check=True, stdout=sys.stderr)
        TFLITE.write_bytes(Path(folder, "tiny_float32.tflite").read_bytes())


if __name__ == "__main__":
    main()
