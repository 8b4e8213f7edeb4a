"""LiteRT gives the same numbers there as here, for float and for int8 kernels."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit import bench

pytestmark = [
    pytest.mark.arm64,
    pytest.mark.skipif(
        importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra litert"
    ),
]
MODELS = Path(__file__).parents[1] / "runtimes"
PROGRAM = Path(importlib.util.find_spec("edgekit").origin).parent / "tflite" / "program"


class Images:
    source = "images"

    def __init__(self):
        self.rows = np.random.default_rng(3).standard_normal((16, 3, 8, 8), np.float32)

    def __len__(self):
        return len(self.rows)

    def specs(self):
        return {}

    def samples(self):
        return ({"image": row} for row in self.rows)

    def labels(self):
        return None


def int8_kernels(folder):
    """Return the model with grids in it as the program makes int8 kernels of it."""
    shutil.copytree(PROGRAM, folder / "form")
    names = (json.dumps(["image"]), json.dumps(["scores"]))
    argv = [sys.executable, "-m", "form", MODELS / "rounded.tflite", folder / "int8.tflite", *names]
    subprocess.run(argv, cwd=folder, capture_output=True, check=True)
    return folder / "int8.tflite"


def test_float_answers_are_those_of_this_machine(both, arm_cpu):
    here, there = (
        bench.evaluate(one, MODELS / "tiny.tflite", Images(), target=arm_cpu)[0] for one in both
    )
    assert np.ptp(here) > 0.1
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-5)


def test_int8_answers_are_within_a_step_of_this_machines(both, arm_cpu, tmp_path):
    file = int8_kernels(tmp_path)
    here, there = (bench.evaluate(one, file, Images(), target=arm_cpu)[0] for one in both)
    step = np.ptp(here) / 255
    np.testing.assert_allclose(there, here, rtol=0, atol=step)
