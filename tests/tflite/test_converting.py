"""A stand-in plays the user's Python with onnx2tf: every way to fail is a clear refusal."""

from pathlib import Path

import pytest
from tiny_model import TFLITE, write_tiny

from edgekit import graph, tflite
from edgekit.errors import MissingExtraError, ModelError, UsageError
from edgekit.tflite import converting

_WRITE = """
if converting:
    out.mkdir()
    shutil.copy({file!r}, out / "model_float32.tflite")
    (out.parent / "arguments").write_text(json.dumps(arguments))
    print("converted  50%|#####     | 1/2 [00:00<00:00, 9.43it/s]", file=sys.stderr)
else:
    shutil.copy(arguments[2], arguments[3])
    print(json.dumps({{"CONV_2D": 1}}))
"""
_CHAIN = """
print("Model loaded", file=sys.stderr)
try:
    raise NotImplementedError("op=GRU cannot be lowered")
except NotImplementedError:
    raise RuntimeError("fast path failed")
"""


@pytest.fixture
def model(tmp_path):
    return graph.load(write_tiny(tmp_path / "tiny.onnx"))


@pytest.fixture
def play(stand_in, tmp_path):
    def playing(body):
        stand_in(body)
        folder = tmp_path / "private"
        folder.mkdir()
        return folder

    return playing


def refused(model, folder):
    with pytest.raises(ModelError) as caught:
        tflite.convert(model, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("tiny.onnx: onnx2tf cannot convert the model")
    assert Path(message.rpartition("see ")[2]).is_file()
    return message


def test_what_it_made_is_handed_on_with_its_int8_kernels(model, play):
    folder = play(_WRITE.format(file=str(TFLITE)))
    made = tflite.convert(model, folder)
    assert made.file.read_bytes() == TFLITE.read_bytes()
    assert made.kernels == {"CONV_2D": 1}


def test_the_first_error_is_told_for_it_caused_the_others(model, play):
    assert "NotImplementedError: op=GRU cannot be lowered" in refused(model, play(_CHAIN))


def test_an_exit_code_of_zero_is_no_proof(model, play):
    assert "it wrote no TFLite file" in refused(model, play("print('done')"))


def test_a_converter_that_is_killed_or_never_ends_is_told(model, play, monkeypatch, tmp_path):
    assert "signal 9" in refused(model, play("os.kill(os.getpid(), signal.SIGKILL)"))
    (tmp_path / "private").rename(tmp_path / "first")
    monkeypatch.setattr(converting, "_TIMEOUT_S", 0.5)
    assert "no end within 0.5 s" in refused(model, play("time.sleep(60)"))


def test_a_shape_that_does_not_tell_its_channels_keeps_them_second(play, tmp_path):
    from onnx import TensorProto, helper, save

    def cube(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 4, 4])

    nodes = [helper.make_node("Relu", ["cube"], ["out"])]
    made = helper.make_graph(nodes, "cube", [cube("cube")], [cube("out")])
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(made, opset_imports=[opset], ir_version=9), tmp_path / "c.onnx")
    folder = play(_WRITE.format(file=str(TFLITE)))
    tflite.convert(graph.load(tmp_path / "c.onnx"), folder)
    assert '"-kat", "cube"' in (folder / "arguments").read_text()


def test_without_an_environment_the_commands_that_make_one_are_told(monkeypatch, tmp_path):
    monkeypatch.delenv(tflite.ENVIRONMENT, raising=False)
    with pytest.raises(MissingExtraError, match=r"python3\.12 -m venv") as caught:
        tflite.converter()
    assert tflite.ENVIRONMENT in str(caught.value)
    with pytest.raises(MissingExtraError):
        tflite.converter_version()
    monkeypatch.setenv(tflite.ENVIRONMENT, str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="no such program"):
        tflite.converter()


def test_an_environment_is_asked_what_it_has(stand_in):
    stand_in("print('2.6.9')")
    assert tflite.converter_version().startswith("onnx2tf 2.6.9 by ")
    stand_in("print('1.28.0')")
    with pytest.raises(UsageError, match=r"found 1\.28\.0"):
        tflite.converter_version()
    stand_in("raise ModuleNotFoundError('no onnx2tf')")
    with pytest.raises(UsageError, match="no onnx2tf"):
        tflite.converter_version()
