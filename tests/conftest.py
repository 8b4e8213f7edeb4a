"""Fixtures that several areas share."""

import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.measurement import Accuracy, Block, Measurement, Memory, Run, Setup

_USERS_ENVIRONMENT = dict(os.environ)
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A job in the background of a shell ignores Ctrl-C, and its children would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
_caches = tempfile.TemporaryDirectory(prefix="edgekit-tests-")
os.environ["XDG_CACHE_HOME"] = _caches.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some examples in docstrings measure; beside other tests they would find no figures."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker("quiet")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Nothing that one test made is used again by another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def small_cnn() -> onnx.ModelProto:
    """Two convolutions and a classifier over 3x16x16 images; batch axis dynamic."""
    rng = np.random.default_rng(0)

    def weight(name, *shape):
        scale = (2.0 / np.prod(shape[1:])) ** 0.5
        return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype("f4"), name)

    weights = [
        weight("w1", 16, 3, 3, 3),
        weight("b1", 16),
        weight("w2", 32, 16, 3, 3),
        weight("b2", 32),
        weight("w3", 10, 32),
        weight("b3", 10),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small_cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="edgekit"
    )


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the small network's file; do not change it."""
    path = tmp_path_factory.mktemp("small") / "model.onnx"
    onnx.save(small_cnn(), path)
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of 96 samples for the small network, with labels."""
    path = tmp_path_factory.mktemp("small") / "data.npz"
    rng = np.random.default_rng(1)
    x = rng.standard_normal((96, 3, 16, 16)).astype("f4")
    np.savez(path, x=x, label=rng.integers(0, 10, 96))
    return path


@pytest.fixture(scope="session")
def users_environment() -> dict[str, str]:
    """The environment that the tests were started in, for what outlives them in a cache."""
    return _USERS_ENVIRONMENT


class Maker:
    """Builds measurements whose true latencies and answers are known."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)

    def run(self, role, p50_s, *, samples=60, rounds=6, noise=0.02, peak_bytes=100 << 20):
        per_round = samples // rounds
        warm = p50_s * np.exp(noise * self.random.standard_normal((rounds, per_round)))
        return Run(
            role=role,
            rounds=tuple(tuple(map(float, part)) for part in warm),
            first_s=3 * p50_s,
            load_s=0.05,
            warmup_iterations=10,
            settled=True,
            memory=Memory(
                peak_bytes=peak_bytes,
                runtime_bytes=60 << 20,
                weights_bytes=20 << 20,
                arena_bytes=10 << 20,
            ),
        )

    def block(self, ratio=1.0, *, index=0, base_s=0.01, spread=0.01, disturbed=(), **options):
        """One block whose log ratio has the given mean and spread (drift is shared)."""
        drift = float(np.exp(0.03 * self.random.standard_normal()))
        true = ratio * float(np.exp(spread * self.random.standard_normal()))
        a, b = base_s * drift, base_s * drift * true
        return Block(
            index=index,
            runs=tuple(
                self.run(role, value, **options)
                for role, value in (
                    ("original", a),
                    ("candidate", b),
                    ("candidate", b),
                    ("original", a),
                )
            ),
            disturbed=disturbed,
        )

    def blocks(self, number, ratio=1.0, **options):
        return tuple(self.block(ratio, index=i, **options) for i in range(number))

    def accuracy(self, number=2000, *, lost=11, gained=11, right=1860, **options):
        original = np.zeros(number)
        original[:right] = 1.0
        values = original.copy()
        values[:lost] = 0.0
        values[number - gained :] = 1.0
        given = {
            "metric": "top1",
            "better": "higher",
            "values": tuple(values),
            "original_values": tuple(original),
            "agreement": 1 - (lost + gained) / number,
            "sqnr_db": 31.0,
            "labelled": True,
            "simulated": False,
        }
        return Accuracy(**{**given, **options})

    def measurement(self, *, blocks=(), null_blocks=(), accuracy=None, device="local", **options):
        given = {
            "candidate": "quantize",
            "sha256": "b" * 64,
            "size_bytes": 300_000,
            "original_sha256": "a" * 64,
            "original_size_bytes": 1_000_000,
            "setup": Setup(
                target="x86",
                device=device,
                runtime="onnxruntime 1.31.1 CPUExecutionProvider",
                threads=1,
                batch=1,
                shapes={"x": (1, 1, 28, 28)},
            ),
        }
        return Measurement(
            blocks=blocks, null_blocks=null_blocks, accuracy=accuracy, **{**given, **options}
        )


@pytest.fixture
def make():
    """A builder of measurements, seeded."""
    return Maker()


@pytest.fixture
def all_int8(tmp_path):
    """A release profile that asks for everything in int8, and budgets nothing but size."""
    file = tmp_path / "all.toml"
    file.write_text(
        'schema = 1\nname = "all"\ntitle = "everything in int8"\nobjective = "size"\n'
        'steps = ["simplify", { name = "quantize", params = { placement = "all" } }]\n'
        'budgets = ["size.ratio<=0.9"]\n'
    )
    return file
