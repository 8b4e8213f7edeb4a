"""The program that makes int8 kernels, run as the converter's Python runs it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import ROUNDED, TFLITE, images

PROGRAM = Path(importlib.util.find_spec("edgekit").origin).parent / "tflite" / "program"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra litert"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    shutil.copytree(PROGRAM, folder / "form")

    def run(source, out, inputs=("image",), outputs=("scores",)):
        argv = [sys.executable, "-m", "form", source, out, json.dumps(inputs), json.dumps(outputs)]
        return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)

    return run


def answers(file):
    from ai_edge_litert.interpreter import Interpreter

    opened = Interpreter(model_path=str(file), num_threads=1)
    opened.allocate_tensors()
    (image,), (scores,) = opened.get_input_details(), opened.get_output_details()
    found = []
    for each in images():
        opened.set_tensor(image["index"], np.ascontiguousarray(each.transpose(1, 2, 0)[None]))
        opened.invoke()
        found.append(opened.get_tensor(scores["index"])[0])
    details = {d["index"]: d for d in opened.get_tensor_details()}
    steps = [
        (op["op_name"], [tuple(details[at]["shape"]) for at in op["outputs"]])
        for op in opened._get_ops_details()
    ]
    return np.stack(found), steps, {d["name"]: d["dtype"] for d in details.values()}


def sqnr_db(ours, theirs):
    return 10 * np.log10(np.square(theirs).sum() / np.square(ours - theirs).sum())


def test_kernels_between_the_grids_become_int8_and_answer_the_same(program, tmp_path):
    out = tmp_path / "int8.tflite"
    ran = program(ROUNDED, out)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "CONV_2D": 2,
        "DEPTHWISE_CONV_2D": 1,
        "MEAN": 2,
        "MUL": 1,
        "ADD": 1,
        "weights of FULLY_CONNECTED": 1,
    }
    before, steps_before, _ = answers(ROUNDED)
    after, steps, types = answers(out)
    assert sqnr_db(after, before) > 30  # one step here and there
    kinds = [kind for kind, _ in steps]
    assert kinds.count("DEQUANTIZE") < [kind for kind, _ in steps_before].count("DEQUANTIZE") / 2
    assert "BATCH_MATMUL" not in kinds
    moved = [shape for kind, (shape, *_) in steps if kind == "TRANSPOSE"]
    assert all(np.prod(shape) == 8 for shape in moved), moved  # the gate alone, no image
    assert types["image"] == types["scores"] == np.float32
    assert out.stat().st_size < ROUNDED.stat().st_size


def test_a_float_model_stays_as_it_is(program, tmp_path):
    out = tmp_path / "float.tflite"
    ran = program(TFLITE, out)
    assert json.loads(ran.stdout) == {}
    np.testing.assert_array_equal(answers(out)[0], answers(TFLITE)[0])


def test_inputs_and_outputs_of_other_names_are_refused(program, tmp_path):
    ran = program(TFLITE, tmp_path / "out.tflite", outputs=("other",))
    assert ran.returncode == 1
    assert "expected ['other']" in ran.stderr


def test_weights_are_read_back_exactly_or_not_at_all():
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        from program.grids import on_grid
    finally:
        sys.path.remove(str(PROGRAM.parent))
    random = np.random.default_rng(1)
    integers = random.integers(-100, 101, size=(6, 3, 3, 4)).astype(np.int8)
    scales = random.uniform(1e-4, 2, size=6).astype(np.float32)
    values = integers.astype(np.float32) * scales.reshape(-1, 1, 1, 1)
    values[2] = 0
    found, steps = on_grid(values, 0)
    np.testing.assert_allclose(found * steps.reshape(-1, 1, 1, 1), values, rtol=1e-5)
    assert on_grid(random.standard_normal((6, 9)).astype(np.float32), 0) is None
