"""Small float models of the kinds whose kernels differ between processors."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

SIZE, STEPS, WIDTH = 16, 12, 16


class _Maker:
    """Collects nodes and seeded weights."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, *shape, fan=None):
        name = f"w{len(self.weights)}"
        scale = (2.0 / (fan or np.prod(shape[1:]) or 1)) ** 0.5
        self.constant(name, (self.random.standard_normal(shape) * scale).astype(np.float32))
        return name

    def constant(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, operator, *inputs, **attributes):
        out = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [out], f"{operator}{out}", **attributes)
        )
        return out

    def saved(self, file, sample, last, classes):
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [last], ["y"])],
            file.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *sample])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])],
            self.weights,
        )
        opset = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=9), file)


def conv(file):
    """Dense 3x3 convolutions with a residual, a pool and a classifier."""
    make = _Maker(0)
    x = make.add("Relu", make.add("Conv", "x", make.weight(16, 3, 3, 3), pads=[1] * 4))
    inner = make.add("Relu", make.add("Conv", x, make.weight(16, 16, 3, 3), pads=[1] * 4))
    inner = make.add("Conv", inner, make.weight(16, 16, 3, 3), pads=[1] * 4)
    x = make.add("Relu", make.add("Add", x, inner))
    x = make.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = make.add("Relu", make.add("Conv", x, make.weight(32, 16, 3, 3), pads=[1] * 4))
    x = make.add("Flatten", make.add("GlobalAveragePool", x))
    make.saved(file, (3, SIZE, SIZE), make.add("Gemm", x, make.weight(10, 32), transB=1), 10)


def depthwise(file):
    """A mobile block: expansion, depthwise, squeeze-and-excite, HardSwish, a residual."""
    make = _Maker(1)
    x = make.add("HardSwish", make.add("Conv", "x", make.weight(16, 3, 1, 1)))
    wide = make.add("HardSwish", make.add("Conv", x, make.weight(48, 16, 1, 1)))
    deep = make.add("Conv", wide, make.weight(48, 1, 3, 3), group=48, pads=[1] * 4)
    squeezed = make.add("GlobalAveragePool", deep)
    squeezed = make.add("Relu", make.add("Conv", squeezed, make.weight(16, 48, 1, 1)))
    gate = make.add("HardSigmoid", make.add("Conv", squeezed, make.weight(48, 16, 1, 1)))
    back = make.add("Conv", make.add("Mul", deep, gate), make.weight(16, 48, 1, 1))
    x = make.add("Add", x, back)
    x = make.add("Flatten", make.add("GlobalAveragePool", x))
    make.saved(file, (3, SIZE, SIZE), make.add("Gemm", x, make.weight(10, 16), transB=1), 10)


def gru(file):
    """A GRU over a sequence and a classifier on its last state."""
    make = _Maker(2)
    x = make.add("Transpose", "x", perm=[1, 0, 2])
    weights = [make.weight(1, 3 * WIDTH, width, fan=2 * width) for width in (8, WIDTH)]
    make.nodes.append(
        helper.make_node("GRU", [x, *weights], ["", "last"], "gru", hidden_size=WIDTH)
    )
    x = make.add("Squeeze", "last", make.constant("zero", np.array([0], np.int64)))
    make.saved(file, (STEPS, 8), make.add("Gemm", x, make.weight(10, WIDTH), transB=1), 10)


def attention(file):
    """One transformer block with two heads, and a classifier on the mean."""
    make = _Maker(3)
    heads = make.constant("heads", np.array([0, STEPS, 2, WIDTH // 2], np.int64))
    whole = make.constant("whole", np.array([0, STEPS, WIDTH], np.int64))
    ones = make.constant("ones", np.ones(WIDTH, np.float32))
    x = make.add("MatMul", "x", make.weight(8, WIDTH, fan=8))
    normed = make.add("LayerNormalization", x, ones)
    q, k, v = (
        make.add(
            "Transpose",
            make.add("Reshape", make.add("MatMul", normed, make.weight(WIDTH, WIDTH)), heads),
            perm=order,
        )
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scale = make.constant("scale", np.array((WIDTH / 2) ** -0.5, np.float32))
    shares = make.add("Softmax", make.add("Mul", make.add("MatMul", q, k), scale), axis=-1)
    mixed = make.add("Transpose", make.add("MatMul", shares, v), perm=[0, 2, 1, 3])
    mixed = make.add("Reshape", mixed, whole)
    x = make.add("Add", x, make.add("MatMul", mixed, make.weight(WIDTH, WIDTH)))
    normed = make.add("LayerNormalization", x, ones)
    inner = make.add("Relu", make.add("MatMul", normed, make.weight(WIDTH, 4 * WIDTH, fan=WIDTH)))
    x = make.add("Add", x, make.add("MatMul", inner, make.weight(4 * WIDTH, WIDTH, fan=4 * WIDTH)))
    x = make.add("ReduceMean", x, axes=[1], keepdims=0)
    make.saved(file, (STEPS, 8), make.add("Gemm", x, make.weight(10, WIDTH), transB=1), 10)


MODELS = {"conv": conv, "depthwise": depthwise, "gru": gru, "attention": attention}
_IMAGES = ("conv", "depthwise")


def samples(name, number=64):
    """Return samples for the model called `name`."""
    shape = (3, SIZE, SIZE) if name in _IMAGES else (STEPS, 8)
    return np.random.default_rng(9).standard_normal((number, *shape), np.float32)
