import json
import os
import subprocess
import sys

import pytest
from onnx import TensorProto, helper, save
from simulated import Tree

from edgekit.devices import agent_archive

SESSION = {
    "runtime": "onnxruntime",
    "providers": ["CPUExecutionProvider"],
    "exact": True,
    "config": {},
}


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    return agent_archive(tmp_path_factory.mktemp("agent"))


class Agent:
    """The packed agent, started as a device starts it."""

    def __init__(self, archive, folder):
        self.archive, self.folder = archive, folder

    def start(self, mode, spec, **options):
        file = self.folder / f"spec-{len(list(self.folder.iterdir()))}.json"
        file.write_text(json.dumps(spec))
        return subprocess.Popen(
            [sys.executable, self.archive, mode, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            **options,
        )

    def answers(self, mode, spec, commands=()):
        process = self.start(mode, spec)
        text, _ = process.communicate("".join(json.dumps(c) + "\n" for c in commands), timeout=60)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def agent(archive, tmp_path):
    return Agent(archive, tmp_path)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A simulated /sys, empty at first, in place of the real one."""
    monkeypatch.setenv("EDGEKIT_SYSFS", str(tmp_path / "simulated"))
    return Tree(tmp_path / "simulated")


@pytest.fixture
def session():
    return {**SESSION, "threads": 1}


@pytest.fixture
def saved():
    return _saved


def _saved(file, nodes, inputs, outputs, initializers=()):
    """Save a graph; inputs and outputs are name -> (type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()],
        [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()],
        list(initializers),
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    return str(file)


@pytest.fixture
def doubling(tmp_path):
    """x (N, 3) -> y = x + x."""
    return _saved(
        tmp_path / "doubling.onnx",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", 3])},
        {"y": (TensorProto.FLOAT, ["N", 3])},
    )


@pytest.fixture
def infer_spec(doubling):
    return {**SESSION, "threads": 1, "model": doubling, "batch": 1, "shapes": {}, "inputs": None}
