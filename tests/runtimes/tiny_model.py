"""Tiny models as ONNX, and how the TFLite files beside this file were made of them.

    EDGEKIT_ONNX2TF=/path/to/python python tests/runtimes/tiny_model.py

`tiny.tflite` is `write_tiny`; `rounded.tflite` is `write_rich`, quantized, as the converter
leaves it: float kernels between Quantize and Dequantize.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

TFLITE = Path(__file__).with_name("tiny.tflite")
ROUNDED = Path(__file__).with_name("rounded.tflite")
CHANNELS, SIZE, CLASSES = 3, 8, 5


def write_tiny(file, batch=1):
    """Save a Conv, a Relu, a global mean and a Gemm over images of 3 x 8 x 8."""
    nodes = [
        helper.make_node("Conv", ["image", "filters", "shift"], ["seen"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["seen"], ["kept"]),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["scores"], transB=1),
    ]
    shapes = {"filters": (6, CHANNELS, 3, 3), "shift": (6,), "matrix": (CLASSES, 6), "bias": (5,)}
    return _saved(file, nodes, shapes, batch)


def write_rich(file, batch=1):
    """Save what mobile networks are made of: depthwise, HardSwish, a gate, a residual."""
    nodes = [
        helper.make_node("Conv", ["image", "filters", "shift"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("HardSwish", ["wide"], ["bent"]),
        helper.make_node("Conv", ["bent", "depth", "d0"], ["deep"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["deep"], ["mean"]),
        helper.make_node("Conv", ["mean", "gate", "g0"], ["opened"]),
        helper.make_node("HardSigmoid", ["opened"], ["share"]),
        helper.make_node("Mul", ["deep", "share"], ["gated"]),
        helper.make_node("Add", ["gated", "bent"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"]),
    ]
    shapes = {"filters": (8, CHANNELS, 3, 3), "shift": (8,), "depth": (8, 1, 3, 3), "d0": (8,)}
    shapes |= {"gate": (8, 8, 1, 1), "g0": (8,), "matrix": (8, CLASSES)}
    return _saved(file, nodes, shapes, batch)


def images(number=16):
    return np.random.default_rng(3).standard_normal((number, CHANNELS, SIZE, SIZE), np.float32)


def _saved(file, nodes, shapes, batch):
    random = np.random.default_rng(7)
    weights = {
        name: random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        for name, shape in shapes.items()
    }
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


def _quantized(file, folder):
    from edgekit import graph, passes
    from edgekit import target as targets
    from edgekit.dataset import open_data
    from edgekit.passes import Context
    from edgekit.runtimes import as_litert

    model, data = graph.load(file), folder / "images.npz"
    np.savez(data, image=images())
    context = Context(
        target=as_litert(targets.load("x86")),
        data=open_data(data, model),
        latencies_of=lambda _models, _effort: None,
        workspace=folder,
    )
    outcome = passes.Quantize().apply(model, context)
    graph.save(outcome.model, folder / "rounded.onnx")
    return folder / "rounded.onnx"


def _converted(file, out):
    folder = file.parent / file.stem
    argv = [os.environ["EDGEKIT_ONNX2TF"], "-m", "onnx2tf", "-i", str(file), "-o", str(folder)]
    subprocess.run([*argv, "-coion", "-n"], check=True, stdout=sys.stderr)
    out.write_bytes((folder / f"{file.stem}_float32.tflite").read_bytes())


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _converted(write_tiny(folder / "tiny.onnx"), TFLITE)
        _converted(_quantized(write_rich(folder / "rich.onnx"), folder), ROUNDED)


if __name__ == "__main__":
    main()
