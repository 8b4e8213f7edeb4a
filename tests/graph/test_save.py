import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekit import graph
from edgekit.errors import OutputError

SAVE = sys.modules["edgekit.graph.save"]


def arrays(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_round_trip_keeps_the_model(small_model, tmp_path):
    model = graph.load(small_model)
    graph.save(model, tmp_path / "copy.onnx")
    again = graph.load(tmp_path / "copy.onnx")
    assert again.inputs == model.inputs
    assert again.outputs == model.outputs
    assert [n.name for n in again.ir.graph] == [n.name for n in model.ir.graph]
    graph.save(again, tmp_path / "third.onnx")
    assert (tmp_path / "copy.onnx").read_bytes() == (tmp_path / "third.onnx").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.onnx", "third.onnx"]


def test_metadata_is_kept(build, put, tmp_path):
    proto = build.model([build.node("Relu", ["x"], ["y"])])
    onnx.helper.set_model_props(proto, {"character": "a\nb\n", "key": "value"})
    graph.save(graph.load(put(proto)), tmp_path / "m.onnx")
    assert graph.load(tmp_path / "m.onnx").metadata == {"character": "a\nb\n", "key": "value"}


def test_large_weights_go_to_one_file(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(SAVE, "EMBEDDED_BYTES", 1000)
    model = graph.load(small_model)
    path = tmp_path / "m.onnx"
    graph.save(model, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert any(isinstance(tensor, ir.ExternalTensor) for tensor in graph.load(path).tensors())
    expected = arrays(small_model)
    for name, array in arrays(path).items():
        assert np.array_equal(array, expected[name])
    assert graph.file_size(path) == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert not any(isinstance(t, ir.ExternalTensor) for t in model.tensors())


def test_external_weights_saved_over_themselves(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(SAVE, "EMBEDDED_BYTES", 1000)
    path = tmp_path / "m.onnx"
    graph.save(graph.load(small_model), path)
    for _ in range(3):
        graph.save(graph.load(path), path)
    expected = arrays(small_model)
    assert all(np.array_equal(array, expected[name]) for name, array in arrays(path).items())
    assert len(list(tmp_path.iterdir())) == 2, "data of replaced models is not left behind"


def test_small_external_weights_are_embedded(external, put, tmp_path):
    model = graph.load(put(external()))
    (tmp_path / "out").mkdir()
    graph.save(model, tmp_path / "out" / "m.onnx")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["m.onnx"]
    assert arrays(tmp_path / "out" / "m.onnx")["w"].sum() == 120


def test_parts_of_large_external_weights_stay_external(external, put, tmp_path, monkeypatch):
    """They would have to be in memory to be embedded, three times over."""
    monkeypatch.setattr(SAVE, "KEPT_EXTERNAL_BYTES", 10)
    monkeypatch.setattr(SAVE, "_SMALL_BYTES", 10)
    model = graph.load(put(external()))
    weight = model.ir.graph.initializers["w"]
    whole = weight.const_value
    weight.const_value = ir.LazyTensor(
        lambda: ir.Tensor(whole.numpy()[:, :2]), whole.dtype, ir.Shape([4, 2]), name="w"
    )
    path = tmp_path / "part.onnx"
    graph.save(model, path)
    assert (tmp_path / "part.onnx.data").exists()
    assert np.array_equal(arrays(path)["w"], np.arange(16, dtype="f4").reshape(4, 4)[:, :2])


def test_hash_covers_external_data(external, put, tmp_path):
    path = put(external())
    before = graph.file_sha256(path)
    assert graph.file_size(path) == path.stat().st_size + 64
    (tmp_path / "w.bin").write_bytes(bytes(64))
    assert graph.file_sha256(path) != before


def test_hash_of_a_plain_file_is_its_sha256(small_model):
    import hashlib

    assert graph.file_sha256(small_model) == hashlib.sha256(small_model.read_bytes()).hexdigest()


def test_place_that_cannot_be_written(small_model, tmp_path):
    model = graph.load(small_model)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none" / "m.onnx", tmp_path / "file" / "m.onnx"):
        with pytest.raises(OutputError, match=r"m\.onnx: cannot be written \(found") as caught:
            graph.save(model, path)
        assert "\n" not in str(caught.value)


def test_full_disk_leaves_the_old_file(small_model, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    program = (
        "import resource, signal, sys; from edgekit import graph\n"
        "from edgekit.errors import OutputError\n"
        "model = graph.load(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: graph.save(model, sys.argv[2])\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(small_model), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written (found File too large)" in done.stdout
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


KILLED = """
import os, random, signal, sys, time
import numpy as np, onnx, onnx_ir as ir
from edgekit import graph
save = sys.modules["edgekit.graph.save"]
save.EMBEDDED_BYTES = int(sys.argv[3])
one = graph.load(sys.argv[1])
other = graph.Model(ir=one.editable(), name="other")
for value in other.ir.graph.initializers.values():
    value.const_value = ir.tensor(value.const_value.numpy() + 1, name=value.name)
def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
graph.save(one, sys.argv[2])
sums = {round(float(sum(v.sum(dtype="f8") for v in weights(sys.argv[2]).values())), 3)}
graph.save(other, sys.argv[2])
sums |= {round(float(sum(v.sum(dtype="f8") for v in weights(sys.argv[2]).values())), 3)}
assert len(sums) == 2
chance = random.Random(0)
seen = set()
for _ in range(40):
    pid = os.fork()
    if pid == 0:
        while True:
            graph.save(one, sys.argv[2])
            graph.save(other, sys.argv[2])
    time.sleep(chance.random() * 0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found = round(float(sum(v.sum(dtype="f8") for v in weights(sys.argv[2]).values())), 3)
    assert found in sums, (found, sums)
    seen.add(found)
print(len(seen))
"""


@pytest.mark.parametrize("embedded_bytes", [1 << 30, 1000], ids=["embedded", "external"])
def test_killed_at_any_moment_it_is_old_or_new(small_model, tmp_path, embedded_bytes):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED,
            str(small_model),
            str(tmp_path / "m.onnx"),
            str(embedded_bytes),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout in {"1\n", "2\n"}


@pytest.mark.slow
def test_more_than_two_gigabytes_stay_on_disk(tmp_path):
    script = Path(__file__).parents[2] / "tools" / "bench" / "large_model.py"
    done = subprocess.run(
        [sys.executable, script, "--folder", tmp_path], capture_output=True, text=True, check=True
    )
    sys.stdout.write(done.stdout)
    found = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    assert found["parameters"] == 576 * 1024 * 1024
    assert found["saved_bytes"] > 2 << 30
    assert found["host_peak_mib"] <= 512, "the host only maps the weights"
    assert found["child_peak_mib"] <= 576 * 4 + 512, "the runtime holds them once"
